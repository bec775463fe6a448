//! The models.

use crate::command::{self, loom_cargo, root};
use anyhow::Result;

/// Runs `cd loom-tests && cargo test --release`.
pub(crate) fn run(filter: Option<&str>, preemptions: Option<usize>) -> Result<()> {
    let mut test = loom_cargo(root(), &["test", "--release"]);
    if let Some(preemptions) = preemptions {
        test.env("LOOM_MAX_PREEMPTIONS", preemptions.to_string());
    }
    if let Some(filter) = filter {
        test.arg(filter);
    }
    test.args(["--", "--nocapture", "--test-threads", "1"]);
    command::run(&mut test)
}

#[cfg(test)]
mod tests {
    use super::root;
    use toml::Table;

    /// The models are of the source with the dependencies that it is published with.
    #[test]
    fn the_private_manifest_says_what_the_published_one_does() {
        let read = |path: &str| -> Table {
            std::fs::read_to_string(root().join(path)).unwrap().parse().unwrap()
        };
        let (published, private) = (read("Cargo.toml"), read("loom-tests/sessile/Cargo.toml"));
        for part in ["dependencies", "features"] {
            assert_eq!(published[part], private[part], "{part}");
        }
        let published = published["target"].as_table().unwrap();
        for (target, dependencies) in published {
            assert_eq!(private["target"].get(target), Some(dependencies), "{target}");
        }
    }
}
