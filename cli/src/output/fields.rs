//! The fields of one thing as people read them, in the order of the API.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

/// A JSON value that keeps the order of its fields.
enum Tree {
    Nothing,
    Word(String),
    List(Vec<Self>),
    Fields(Vec<(String, Self)>),
}

/// Name and value of each leaf of a JSON text; absent and empty ones are left out, and a certificate is only said to be
/// there (its text is in the JSON).
pub fn of_json(text: &str) -> serde_json::Result<Vec<(String, String)>> {
    let mut fields = Vec::new();
    serde_json::from_str::<Tree>(text)?.flatten("", &mut fields);
    Ok(fields)
}

impl Tree {
    fn flatten(self, name: &str, fields: &mut Vec<(String, String)>) {
        let below = |inner: &str| {
            let inner = inner.replace('_', " ");
            if name.is_empty() { inner } else { format!("{name} {inner}") }
        };
        match self {
            Self::Nothing => {}
            Self::Word(word) if word.starts_with("-----BEGIN CERTIFICATE-----") => {
                fields.push((name.to_owned(), format!("{} lines of PEM", word.lines().count())));
            }
            Self::Word(word) => fields.push((name.to_owned(), word)),
            Self::Fields(inner) => inner.into_iter().for_each(|(key, tree)| tree.flatten(&below(&key), fields)),
            Self::List(items) if items.is_empty() => {}
            Self::List(items) if items.iter().all(|item| matches!(item, Self::Word(_))) => {
                let words: Vec<String> = items.into_iter().filter_map(Self::word).collect();
                fields.push((name.to_owned(), words.join(", ")));
            }
            Self::List(items) => {
                for (number, item) in items.into_iter().enumerate() {
                    item.flatten(&below(&(number + 1).to_string()), fields);
                }
            }
        }
    }

    fn word(self) -> Option<String> {
        if let Self::Word(word) = self { Some(word) } else { None }
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree::Nothing)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Tree, E> {
        Ok(Tree::Word(if value { "yes" } else { "no" }.to_owned()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Tree, E> {
        Ok(Tree::Word(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Tree, E> {
        Ok(Tree::Word(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Tree, E> {
        Ok(Tree::Word(value.to_string()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Tree, E> {
        Ok(if value.is_empty() { Tree::Nothing } else { Tree::Word(value.to_owned()) })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Tree, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Tree::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tree, A::Error> {
        let mut fields = Vec::new();
        while let Some(field) = map.next_entry()? {
            fields.push(field);
        }
        Ok(Tree::Fields(fields))
    }
}
