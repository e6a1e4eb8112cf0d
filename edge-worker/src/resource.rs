//! What a URL can stand for: its key in the store, its type, and how long its bytes stay true.
//!
//! In scope: the one place that knows keys and freshness. Out of scope: how a path is read
//! (`route`) and answered (`respond`). A key is built from parsed parts only, never from the
//! bytes of a request, so a path cannot reach outside its dataset.

use packice_core::trust::tiles::TileRef;
use packice_core::types::{Name, ObjectKind, WireName};

/// The channel whose bootstrap carries the dataset's public checkpoint.
pub const CHECKPOINT_CHANNEL: &str = "stable";

/// How old a pointer may get in a cache, in seconds: `max-age` of its `cache-control`.
pub const POINTER_MAX_AGE_S: u64 = 5;

/// What a URL can stand for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resource {
    /// An immutable object under its wire name.
    Object {
        /// The dataset.
        dataset: Name,
        /// What the object is.
        kind: ObjectKind,
        /// BLAKE3 of its bytes.
        name: WireName,
    },
    /// The newest checkpoint of the dataset's log.
    Checkpoint {
        /// The dataset.
        dataset: Name,
    },
    /// The pointer of a channel.
    Bootstrap {
        /// The dataset.
        dataset: Name,
        /// The channel.
        channel: Name,
    },
    /// The head of a channel: its pointer without what only a cold client wants.
    Head {
        /// The dataset.
        dataset: Name,
        /// The channel.
        channel: Name,
    },
    /// A tile of the release log.
    Tile {
        /// The dataset.
        dataset: Name,
        /// The tile.
        tile: TileRef,
    },
    /// A version of the trust root.
    TrustRoot {
        /// The dataset.
        dataset: Name,
        /// The version; the first is 1.
        version: u64,
    },
}

/// How long the bytes of a resource stay true.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// For good: the name or the log fixes them.
    Immutable,
    /// Until the pointer moves: a few seconds old is fine, more is not.
    Pointer,
    /// May be replaced at any time and nobody relies on them yet: not to be kept.
    Unsettled,
}

impl Freshness {
    /// The `cache-control` header.
    pub fn cache_control(self) -> &'static str {
        match self {
            Self::Immutable => "public, max-age=31536000, immutable",
            Self::Pointer => "public, max-age=5, stale-while-revalidate=30",
            Self::Unsettled => "no-store",
        }
    }
}

impl Resource {
    /// The dataset that the resource belongs to.
    pub fn dataset(&self) -> &Name {
        match self {
            Self::Object { dataset, .. }
            | Self::Checkpoint { dataset }
            | Self::Bootstrap { dataset, .. }
            | Self::Head { dataset, .. }
            | Self::Tile { dataset, .. }
            | Self::TrustRoot { dataset, .. } => dataset,
        }
    }

    /// The key of the stored object that answers for the resource.
    pub fn key(&self) -> String {
        match self {
            Self::Object { dataset, kind, name } => format!("{dataset}/{}/{name}", kind.as_str()),
            Self::Checkpoint { dataset } => {
                format!("{}{CHECKPOINT_CHANNEL}", bootstrap_prefix(dataset))
            }
            Self::Bootstrap { dataset, channel } | Self::Head { dataset, channel } => {
                format!("{}{channel}", bootstrap_prefix(dataset))
            }
            Self::Tile { dataset, tile } => format!("{dataset}/log/{}", tile.path()),
            Self::TrustRoot { dataset, version } => format!("{dataset}/trust-root/{version}"),
        }
    }

    /// The path of the resource's URL, in its one spelling.
    pub fn path(&self) -> String {
        match self {
            Self::Checkpoint { dataset } => format!("/v1/{dataset}/checkpoint"),
            Self::Head { dataset, channel } => format!("/v1/{dataset}/head/{channel}"),
            Self::Object { .. }
            | Self::Bootstrap { .. }
            | Self::Tile { .. }
            | Self::TrustRoot { .. } => format!("/v1/{}", self.key()),
        }
    }

    /// The `content-type` header.
    pub fn content_type(&self) -> &'static str {
        match self {
            Self::Checkpoint { .. } => "text/plain; charset=utf-8",
            Self::Object { .. }
            | Self::Bootstrap { .. }
            | Self::Head { .. }
            | Self::Tile { .. }
            | Self::TrustRoot { .. } => "application/octet-stream",
        }
    }

    /// The entity tag, where the URL alone tells it: an object's name is its content.
    pub fn named_etag(&self) -> Option<String> {
        match self {
            Self::Object { name, .. } => Some(name.to_hex()),
            Self::Checkpoint { .. }
            | Self::Bootstrap { .. }
            | Self::Head { .. }
            | Self::Tile { .. }
            | Self::TrustRoot { .. } => None,
        }
    }

    /// How long the bytes stay true. `log_size` is the size of the log that the dataset's
    /// pointers stand at, read *before* the bytes were: a tile below it was final by then.
    pub fn freshness(&self, log_size: u64) -> Freshness {
        match self {
            Self::Object { .. } | Self::TrustRoot { .. } => Freshness::Immutable,
            Self::Checkpoint { .. } | Self::Bootstrap { .. } | Self::Head { .. } => {
                Freshness::Pointer
            }
            Self::Tile { tile, .. } if is_settled(tile, log_size) => Freshness::Immutable,
            Self::Tile { .. } => Freshness::Unsettled,
        }
    }

    /// The freshness of an answer that a cache kept: a tile was settled then.
    pub fn kept_freshness(&self) -> Freshness {
        self.freshness(u64::MAX)
    }

    /// Whether [`Resource::freshness`] depends on the size of the log.
    pub fn depends_on_log_size(&self) -> bool {
        matches!(self, Self::Tile { .. })
    }

    /// Whether byte ranges are served: of the objects that a layout cuts into frames and pages.
    pub fn has_ranges(&self) -> bool {
        matches!(self, Self::Object { .. })
    }
}

/// Whether a log of this size has fixed a tile for good.
pub fn is_settled(tile: &TileRef, log_size: u64) -> bool {
    tile.covers() <= log_size
}

/// What the keys of a dataset's pointers begin with.
pub fn bootstrap_prefix(dataset: &Name) -> String {
    format!("{dataset}/bootstrap/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dataset() -> Name {
        Name::new("solana-tokens").expect("a name")
    }

    #[test]
    fn keys_follow_the_paths() {
        let object = Resource::Object {
            dataset: dataset(),
            kind: ObjectKind::Bundle,
            name: WireName([0xab; 32]),
        };
        let hex = "ab".repeat(32);
        assert_eq!(object.key(), format!("solana-tokens/bundle/{hex}"));
        assert_eq!(object.path(), format!("/v1/solana-tokens/bundle/{hex}"));
        assert_eq!(object.named_etag(), Some(hex));

        let root = Resource::TrustRoot { dataset: dataset(), version: 12 };
        assert_eq!(root.key(), "solana-tokens/trust-root/12");
        let tile = TileRef::parse("tile/entries/x001/002.p/3").expect("a tile");
        let tile = Resource::Tile { dataset: dataset(), tile };
        assert_eq!(tile.key(), "solana-tokens/log/tile/entries/x001/002.p/3");
    }

    #[test]
    fn checkpoint_and_head_are_answered_by_the_pointer() {
        let (dataset, channel) = (dataset(), Name::new("stable").expect("a name"));
        let stable = Resource::Bootstrap { dataset: dataset.clone(), channel: channel.clone() };
        let head = Resource::Head { dataset: dataset.clone(), channel };
        assert_eq!(head.key(), stable.key());
        assert_eq!(head.path(), "/v1/solana-tokens/head/stable");
        let checkpoint = Resource::Checkpoint { dataset };
        assert_eq!(checkpoint.key(), stable.key());
        assert_ne!(checkpoint.path(), stable.path());
    }

    #[test]
    fn the_pointers_age_is_what_their_header_says() {
        let said = format!("max-age={POINTER_MAX_AGE_S},");
        assert!(Freshness::Pointer.cache_control().contains(&said));
    }

    #[test]
    fn a_tile_is_immutable_only_below_the_log_size() {
        let tile = TileRef::parse("tile/0/000.p/9").expect("a tile");
        let tile = Resource::Tile { dataset: dataset(), tile };
        assert_eq!(tile.freshness(8), Freshness::Unsettled);
        assert_eq!(tile.freshness(9), Freshness::Immutable);
    }
}
