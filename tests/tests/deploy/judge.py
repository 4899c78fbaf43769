"""Reads YAML for the tests of deploy/: `judge.py json FILE` prints its documents as a list in JSON, `judge.py schema SCHEMA FILE`
says where it is not what a JSON schema wants, and fails."""

import json
import sys

import jsonschema
import yaml


class Strict(yaml.SafeLoader):
    """A key that is there twice is an error, and not the last one."""

    def construct_mapping(self, node, deep=False):
        seen = set()
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.constructor.ConstructorError(None, None, f"the key {key.value!r} is there twice", key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def documents(path):
    with open(path, encoding="utf-8") as file:
        return [document for document in yaml.load_all(file, Strict) if document is not None]


if sys.argv[1] == "json":
    print(json.dumps(documents(sys.argv[2])))
elif sys.argv[1] == "schema":
    with open(sys.argv[2], encoding="utf-8") as file:
        schema = json.load(file)
    schema["$schema"] = schema["$schema"].rstrip("#")  # as jsonschema spells it
    judge = jsonschema.validators.validator_for(schema)(schema)
    errors = [error for document in documents(sys.argv[3]) for error in judge.iter_errors(document)]
    for error in errors:
        print(f"{error.json_path}: {error.message}", file=sys.stderr)
    sys.exit(bool(errors))
else:
    sys.exit("json FILE | schema SCHEMA FILE")
