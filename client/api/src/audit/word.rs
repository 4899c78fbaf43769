//! Closed lists of words: an enum, its wire text, and the way back.

/// Makes an enum of words with `ALL`, `text`, `Display`, `FromStr` and serde as text. The text is what is hashed, stored
/// and sent; order is the order of the texts, so that a sorted list looks the same in every language.
macro_rules! words {
    (
        $(#[$doc:meta])*
        $name:ident, $unknown:ident: $message:literal;
        $($(#[$word_doc:meta])* $word:ident = $text:literal,)*
    ) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$word_doc])* #[doc = concat!("`", $text, "`.")] $word,)*
        }

        impl $name {
            /// All of them, in the order in which they were added.
            pub const ALL: &[Self] = &[$(Self::$word,)*];

            /// The word as it is hashed, stored and sent.
            pub const fn text(self) -> &'static str {
                match self {
                    $(Self::$word => $text,)*
                }
            }
        }

        impl Ord for $name {
            fn cmp(&self, other: &Self) -> std::cmp::Ordering {
                self.text().cmp(other.text())
            }
        }

        impl PartialOrd for $name {
            fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
                Some(self.cmp(other))
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.text())
            }
        }

        #[doc = $message]
        #[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
        #[error($message)]
        pub struct $unknown(
            /// The text that is not one of the words.
            pub String,
        );

        impl std::str::FromStr for $name {
            type Err = $unknown;

            fn from_str(text: &str) -> Result<Self, $unknown> {
                match text {
                    $($text => Ok(Self::$word),)*
                    _ => Err($unknown(text.chars().take(64).collect())),
                }
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.text())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

pub(super) use words;
