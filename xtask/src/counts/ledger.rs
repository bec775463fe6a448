//! The figures that were accepted, in `benches/counts.toml`, and the comparison with them.

use super::census::Census;
use super::figures::{COLUMNS, Column, Figures};
use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::Path;
use std::process::Command;

const HEADER: &str = "\
# What one run of each operation costs: averages over ten thousand runs, written by `cargo xtask counts --accept`.
# Instructions are those of this compiler. The census below them has medians of 51 runs, the making of sessions and the
# allocator included; what peers do is shown and not judged.

";

/// What the file says.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Ledger {
    rustc: String,
    figures: Vec<Figures>,
    census: Vec<Census>,
}

impl Ledger {
    pub(super) fn new(figures: Vec<Figures>, census: Vec<Census>) -> Result<Self> {
        Ok(Self { rustc: compiler()?, figures, census })
    }

    pub(super) fn read(path: &Path) -> Result<Self> {
        let shown = path.display();
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {shown}"))?;
        toml::from_str(&text).with_context(|| format!("{shown} cannot be understood"))
    }

    pub(super) fn figures(&self) -> &[Figures] {
        &self.figures
    }

    pub(super) fn census(&self) -> &[Census] {
        &self.census
    }

    pub(super) fn write(&self, path: &Path) -> Result<()> {
        let text = format!("{HEADER}{}", toml::to_string(self)?);
        fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
    }

    /// The compiler of the file, if it is not `compiler`.
    pub(super) fn other_compiler(&self, compiler: &str) -> Option<&str> {
        (self.rustc != compiler).then_some(&self.rustc)
    }

    fn known(&self, figures: &Figures) -> Option<&Figures> {
        self.figures.iter().find(|known| known.is_of(figures))
    }

    /// What a figure was, if it is further from that than chance takes it. Instructions of another
    /// compiler are not compared.
    pub(super) fn was(&self, figures: &Figures, column: &Column, compiler: &str) -> Option<f64> {
        if column.is_instructions() && self.other_compiler(compiler).is_some() {
            return None;
        }
        let (was, is) = ((column.figure)(self.known(figures)?)?, (column.figure)(figures)?);
        // Numbers are read back from the file as they were.
        ((is - was).abs() > was * column.tolerance).then_some(was)
    }

    /// Whether something is less than in the file.
    pub(super) fn has_gain(&self, now: &[Figures], compiler: &str) -> bool {
        let is_less = |figures: &Figures, column: &Column| {
            self.was(figures, column, compiler)
                .zip((column.figure)(figures))
                .is_some_and(|(was, is)| is < was)
        };
        now.iter().any(|figures| COLUMNS.iter().any(|column| is_less(figures, column)))
    }

    /// What must not be. Under a filter, operations may be absent.
    pub(super) fn complaints(
        &self,
        now: &[Figures],
        filter: Option<&str>,
        compiler: &str,
    ) -> Vec<String> {
        let mut complaints = Vec::new();
        for figures in now {
            let name = format!("{} ({} sessions)", figures.operation, figures.sessions);
            if self.known(figures).is_none() {
                complaints.push(format!("{name}: not in the file"));
            }
            for column in &COLUMNS {
                let (was, is) = (self.was(figures, column, compiler), (column.figure)(figures));
                if let (Some(was), Some(is)) = (was, is)
                    && is > was
                {
                    let head = column.head;
                    complaints.push(format!("{name}: {head} grew from {was:.4} to {is:.4}"));
                }
            }
        }
        let gone =
            self.figures.iter().filter(|known| !now.iter().any(|figures| known.is_of(figures)));
        for Figures { operation, sessions, .. } in
            gone.filter(|known| filter.is_none_or(|filter| known.operation.contains(filter)))
        {
            complaints.push(format!("{operation} ({sessions} sessions): not counted"));
        }
        complaints
    }
}

/// The version of the compiler that the operations were built by.
pub(super) fn compiler() -> Result<String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).arg("--version").output().context("cannot run rustc")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    match text.split_whitespace().nth(1) {
        Some(version) if output.status.success() => Ok(version.to_owned()),
        _ => bail!("rustc does not tell its version"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(operation: &str) -> Figures {
        Figures {
            operation: operation.into(),
            sessions: 20_480,
            shared_writes: 2.0,
            read_modify_writes: 2.4599,
            own_writes: 1.0,
            loads: 24.0,
            locked: Some(3.0),
            instructions: Some(400.0),
            foreign: Some(17.0),
        }
    }

    fn ledger() -> Ledger {
        let figures = vec![figures("get"), figures("take")];
        Ledger { rustc: "1.0.0".into(), figures, census: Vec::new() }
    }

    fn complaints(now: &[Figures]) -> Vec<String> {
        ledger().complaints(now, None, "1.0.0")
    }

    #[test]
    fn the_same_figures_pass() {
        let now = [figures("get"), figures("take")];
        assert!(complaints(&now).is_empty() && !ledger().has_gain(&now, "1.0.0"));
    }

    #[test]
    fn each_column_that_grows_is_a_complaint() {
        type Grow = fn(&mut Figures);
        let grown: [(Grow, &str); 6] = [
            (|now| now.shared_writes += 1.0, "shared-line writes grew from 2.0000 to 3.0000"),
            (
                |now| now.read_modify_writes += 0.0001,
                "read-modify-writes grew from 2.4599 to 2.4600",
            ),
            (|now| now.own_writes += 0.5, "own writes grew from 1.0000 to 1.5000"),
            (|now| now.loads += 1.0, "loads grew from 24.0000 to 25.0000"),
            (|now| now.locked = Some(4.0), "locked instructions grew from 3.0000 to 4.0000"),
            (|now| now.instructions = Some(403.0), "instructions grew from 400.0000 to 403.0000"),
        ];
        for (grow, complaint) in grown {
            let mut now = [figures("get"), figures("take")];
            grow(&mut now[0]);
            assert_eq!(complaints(&now), [format!("get (20480 sessions): {complaint}")]);
        }
    }

    #[test]
    fn a_lower_figure_is_a_gain_and_no_complaint() {
        let mut now = [figures("get"), figures("take")];
        now[1].shared_writes = 1.0;
        assert!(complaints(&now).is_empty() && ledger().has_gain(&now, "1.0.0"));
    }

    #[test]
    fn instructions_within_the_tolerance_are_no_difference() {
        let mut now = [figures("get"), figures("take")];
        now[0].instructions = Some(400.7);
        now[1].instructions = Some(399.3);
        assert!(complaints(&now).is_empty() && !ledger().has_gain(&now, "1.0.0"));
    }

    #[test]
    fn operations_that_come_or_go_are_complaints() {
        let mut now = vec![figures("get"), figures("take"), figures("read")];
        assert_eq!(complaints(&now), ["read (20480 sessions): not in the file"]);
        now.truncate(1);
        assert_eq!(complaints(&now), ["take (20480 sessions): not counted"]);
        assert!(ledger().complaints(&now, Some("ge"), "1.0.0").is_empty());
        now[0].sessions = 7;
        assert_eq!(complaints(&now).len(), 3);
    }

    #[test]
    fn instructions_of_another_compiler_are_not_compared_and_all_else_is() {
        let mut now = [figures("get"), figures("take")];
        now[0].instructions = Some(900.0);
        assert!(ledger().complaints(&now, None, "1.1.0").is_empty());
        assert_eq!(ledger().other_compiler("1.1.0"), Some("1.0.0"));
        now[0].locked = Some(4.0);
        assert_eq!(ledger().complaints(&now, None, "1.1.0").len(), 1);
    }

    #[test]
    fn the_file_is_read_back_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("counts.toml");
        ledger().write(&path).unwrap();
        let known = Ledger::read(&path).unwrap();
        let now = ledger().figures;
        assert!(known.complaints(&now, None, "1.0.0").is_empty() && !known.has_gain(&now, "1.0.0"));
        fs::write(&path, "rustc = 1").unwrap();
        assert!(Ledger::read(&path).is_err());
    }
}
