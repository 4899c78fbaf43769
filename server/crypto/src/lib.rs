//! Sealing: the key hierarchy, the record envelope, shares, passphrases and locked memory. The only crate that names aes-gcm and argon2.
