//! The client library: async, typed errors, retries, idempotency keys; one file a resource.
