//! The form of a path, judged before anything is routed by it.

use claviger_api::Part;

/// Whether a path is `/` or consists of `/` and segments in the grammar of names, which every fixed word and id of the
/// API is in too. So `..`, `.`, `//`, a slash at the end, `%2F`, NUL and every other percent-encoding are no paths here.
pub fn is_path(path: &str) -> bool {
    path == "/" || path.strip_prefix('/').is_some_and(|segments| segments.split('/').all(Part::fits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anvil_path_forms_only_plain_segments_are_paths() {
        for good in ["/", "/openapi.json", "/v1/customers/acme/systems/dc01.corp/accounts/a_b-c/actions/set-secret"] {
            assert!(is_path(good), "{good}");
        }
        for bad in [
            "",
            "*",
            "v1/me",
            "//",
            "//v1/me",
            "/v1//me",
            "/v1/me/",
            "/v1/.",
            "/v1/..",
            "/v1/../v1/me",
            "/v1/%2e%2e/me",
            "/v1/customers/a%2Fb",
            "/v1/customers/a%00",
            "/v1/customers/a\0",
            "/v1/customers/A",
            "/v1/customers/a b",
            "/v1/customers/a;b",
            "/v1/customers/a\\b",
            "/v1/customers/ä",
            "/v1/customers/-a",
        ] {
            assert!(!is_path(bad), "{bad:?}");
        }
    }
}
