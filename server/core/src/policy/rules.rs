//! The rules, read once from the policy files and held against each other and against the server's own lists.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::str::FromStr;

use cedar_policy::{
    ActionConstraint, Authorizer, EntityAttrEvaluationError, EntityUid, PolicyId, PolicySet, PolicySetError, Schema,
    Template, ValidationMode, Validator,
};
use claviger_api::GrantId;
use claviger_api::wire::Role;

use super::Action;
use super::grant::ROLES;
use super::place::Places;
use super::template;

/// Why the rules cannot be used. The vault refuses everything then; the message is for its operator.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// A file is not in Cedar's grammar.
    #[error("the policy files cannot be read: {0}")]
    Unreadable(String),
    /// The files contradict each other, or the server's own lists of verbs and roles.
    #[error("the policy files do not fit together: {0}")]
    Unfit(String),
    /// A grant of somebody else was given to compile.
    #[error("the grant {0} belongs to another principal than the one asked for")]
    ForeignGrant(GrantId),
    /// A subject or grant could not be put into the rules.
    #[error("a grant cannot be linked to the policy: {0}")]
    Unlinkable(String),
}

impl From<PolicySetError> for PolicyError {
    fn from(error: PolicySetError) -> Self {
        Self::Unlinkable(error.to_string())
    }
}

impl From<EntityAttrEvaluationError> for PolicyError {
    fn from(error: EntityAttrEvaluationError) -> Self {
        Self::Unlinkable(error.to_string())
    }
}

/// The rules of the policy files, parsed and held against the server's own lists.
pub struct Policies {
    pub(super) authorizer: Authorizer,
    pub(super) schema: Schema,
    pub(super) places: Places,
    actions: HashMap<Action, EntityUid>,
    verbs_of: HashMap<Role, BTreeSet<Action>>,
    /// The baseline, and the roles as templates.
    pub(super) rules: PolicySet,
}

impl Policies {
    /// The rules that the server was built with. [`validate`](Self::validate) takes longer than all the rest of a start: a
    /// test does it with these very files, and so does `claviger-server check-config`.
    pub fn built_in() -> Result<Self, PolicyError> {
        Self::read(include_str!("claviger.cedarschema"), &[include_str!("roles.cedar"), include_str!("baseline.cedar")])
    }

    /// The verbs of a role.
    pub fn role(&self, role: Role) -> &BTreeSet<Action> {
        static NONE: BTreeSet<Action> = BTreeSet::new();
        self.verbs_of.get(&role).unwrap_or(&NONE)
    }

    pub(super) fn action(&self, action: Action) -> Option<&EntityUid> {
        self.actions.get(&action)
    }

    fn read(schema: &str, files: &[&str]) -> Result<Self, PolicyError> {
        let (schema, warnings) =
            Schema::from_cedarschema_str(schema).map_err(|error| PolicyError::Unreadable(error.to_string()))?;
        if let Some(warning) = { warnings }.next() {
            return Err(PolicyError::Unfit(warning.to_string()));
        }
        let mut rules = PolicySet::new();
        for file in files {
            add_by_their_names(&mut rules, file)?;
        }
        let places = Places::new()?;
        roles_are_complete(&rules)?;
        let actions = actions_by_name(&schema)?;
        let verbs_of = ROLES.iter().map(|role| (*role, verbs(&rules, template::to_use(*role)))).collect();
        Ok(Self { authorizer: Authorizer::new(), schema, places, actions, verbs_of, rules })
    }
}

impl Policies {
    /// Holds every rule against the schema, strictly: it names only what there is, of the right types, and cannot fail.
    pub fn validate(&self) -> Result<(), PolicyError> {
        let validation = Validator::new(self.schema.clone()).validate(&self.rules, ValidationMode::Strict);
        if validation.validation_passed_without_warnings() {
            return Ok(());
        }
        Err(PolicyError::Unfit(validation.to_string()))
    }
}

impl fmt::Debug for Policies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Policies").finish_non_exhaustive()
    }
}

/// Cedar numbers what it parses; ours are known by their `@id`.
fn add_by_their_names(rules: &mut PolicySet, file: &str) -> Result<(), PolicyError> {
    let parsed = PolicySet::from_str(file).map_err(|error| PolicyError::Unreadable(error.to_string()))?;
    let name = |annotation: Option<&str>| {
        annotation.map(PolicyId::new).ok_or_else(|| PolicyError::Unfit("a rule has no @id".to_owned()))
    };
    for template in parsed.templates() {
        rules.add_template(template.new_id(name(template.annotation("id"))?))?;
    }
    for policy in parsed.policies() {
        rules.add(policy.new_id(name(policy.annotation("id"))?))?;
    }
    Ok(())
}

/// The files know exactly the templates that grants link.
fn roles_are_complete(rules: &PolicySet) -> Result<(), PolicyError> {
    let wanted: BTreeSet<String> = ROLES
        .iter()
        .flat_map(|role| [template::to_use(*role), template::to_hand_on(*role)])
        .chain([template::THROUGH_CUSTOMER, template::THROUGH_SYSTEM, template::OPEN_GLASS])
        .map(str::to_owned)
        .collect();
    let found: BTreeSet<String> = rules.templates().map(|template| template.id().to_string()).collect();
    same("templates", &wanted, &found)
}

/// The verbs that a template names.
fn verbs(rules: &PolicySet, template: &str) -> BTreeSet<Action> {
    let named = |uids: Vec<EntityUid>| uids.iter().filter_map(|uid| Action::named(uid.id().unescaped())).collect();
    match rules.template(&PolicyId::new(template)).map(Template::action_constraint) {
        Some(ActionConstraint::Eq(uid)) => named(vec![uid]),
        Some(ActionConstraint::In(uids)) => named(uids),
        Some(ActionConstraint::Any) => Action::ALL.iter().copied().collect(),
        None => BTreeSet::new(),
    }
}

/// The schema knows exactly the verbs that the server knows.
fn actions_by_name(schema: &Schema) -> Result<HashMap<Action, EntityUid>, PolicyError> {
    let found: BTreeMap<String, EntityUid> =
        schema.actions().map(|uid| (uid.id().unescaped().to_owned(), uid.clone())).collect();
    let wanted = Action::ALL.iter().map(ToString::to_string).collect();
    same("actions", &wanted, &found.keys().cloned().collect())?;
    Ok(Action::ALL.iter().filter_map(|action| found.get(action.as_str()).map(|uid| (*action, uid.clone()))).collect())
}

fn same(what: &str, wanted: &BTreeSet<String>, found: &BTreeSet<String>) -> Result<(), PolicyError> {
    if wanted == found {
        return Ok(());
    }
    let difference: Vec<&String> = wanted.symmetric_difference(found).collect();
    Err(PolicyError::Unfit(format!("{what} of the files and of the server differ in {difference:?}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEMA: &str = include_str!("claviger.cedarschema");
    const ROLES_FILE: &str = include_str!("roles.cedar");
    const BASELINE: &str = include_str!("baseline.cedar");

    fn refusal(schema: &str, roles: &str, baseline: &str) -> String {
        Policies::read(schema, &[roles, baseline]).and_then(|read| read.validate()).unwrap_err().to_string()
    }

    /// Each edit must find its words, or the test would show nothing.
    fn edited(file: &str, from: &str, to: &str) -> String {
        assert!(file.contains(from), "{from}");
        file.replacen(from, to, 1)
    }

    #[test]
    fn the_built_in_files_fit_together() {
        Policies::built_in().unwrap().validate().unwrap();
    }

    #[test]
    fn files_that_do_not_fit_are_refused_by_name() {
        let typo = edited(ROLES_FILE, "checkout.reveal", "checkout.revael");
        assert!(refusal(SCHEMA, &typo, BASELINE).contains("checkout.revael"));
        let wrong_use = edited(BASELINE, "resource.holder", "resource.owner");
        assert!(refusal(SCHEMA, ROLES_FILE, &wrong_use).contains("owner"));
        let unguarded = edited(BASELINE, "principal has customer && ", "");
        assert!(refusal(SCHEMA, ROLES_FILE, &unguarded).contains("customer"));
        let unnamed = edited(BASELINE, "@id(\"holder_only\")", "");
        assert!(refusal(SCHEMA, ROLES_FILE, &unnamed).contains("@id"));
        let twice = edited(ROLES_FILE, "@id(\"technician\")", "@id(\"automation\")");
        assert!(refusal(SCHEMA, &twice, BASELINE).contains("automation"));
        let unknown_role = edited(ROLES_FILE, "@id(\"technician\")", "@id(\"mechanic\")");
        assert!(refusal(SCHEMA, &unknown_role, BASELINE).contains("mechanic"));
        let unknown_action = edited(SCHEMA, "\"sys.seal\",", "\"sys.seal\", \"sys.burn\",");
        assert!(refusal(&unknown_action, ROLES_FILE, BASELINE).contains("sys.burn"));
        assert!(refusal(SCHEMA, "permit (", BASELINE).contains("cannot be read"));
    }
}
