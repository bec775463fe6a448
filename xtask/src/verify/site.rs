//! An atomic operation that a model executed, as the models' shim prints it:
//! `site src/raw/table.rs:44:28 compare_exchange AcqRel,Acquire`.

use std::str::FromStr;

/// A line and a column, both from 1.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct Position {
    pub(crate) line: usize,
    pub(crate) column: usize,
}

/// The place of an operation, what it does and how it is ordered.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct Site {
    pub(crate) file: String,
    pub(crate) position: Position,
    pub(crate) operation: String,
    pub(crate) orderings: Vec<String>,
}

impl Site {
    /// The place alone.
    pub(crate) fn place(&self) -> String {
        format!("{}:{}:{}", self.file, self.position.line, self.position.column)
    }
}

impl FromStr for Site {
    type Err = anyhow::Error;

    fn from_str(line: &str) -> Result<Self, Self::Err> {
        let error = || anyhow::anyhow!("not a site: `{line}`");
        let mut words = line.strip_prefix("site ").ok_or_else(error)?.split_whitespace();
        let (Some(place), Some(operation), Some(orderings), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(error());
        };
        let (rest, column) = place.rsplit_once(':').ok_or_else(error)?;
        let (file, line) = rest.rsplit_once(':').ok_or_else(error)?;
        Ok(Self {
            file: file.into(),
            position: Position { line: line.parse()?, column: column.parse()? },
            operation: operation.into(),
            orderings: orderings.split(',').map(str::to_owned).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_site_is_read_and_anything_else_refused() {
        let site: Site =
            "site src/raw/table.rs:44:28 compare_exchange AcqRel,Acquire".parse().unwrap();
        assert_eq!(site.place(), "src/raw/table.rs:44:28");
        assert_eq!(site.operation, "compare_exchange");
        assert_eq!(site.orderings, ["AcqRel", "Acquire"]);
        assert!("site src/raw/table.rs:x:28 load Acquire".parse::<Site>().is_err());
        assert!("site src/raw/table.rs:4:28 load".parse::<Site>().is_err());
    }
}
