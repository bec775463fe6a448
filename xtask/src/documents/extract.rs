//! The commands that a document shows: every line of its `sh` blocks, and every code span that
//! begins with `cargo ` or `cd `.
//!
//! A comment at the end of a line is not part of a command, nor is the break of a line that goes
//! on. A folder that a line of a block changes to is where the later ones run: `cd DIR && COMMAND`.

/// What begins and ends a block.
const FENCE: &str = "```";

/// The commands, in their order.
pub(super) fn commands(document: &str) -> Vec<String> {
    let (mut commands, mut prose) = (Vec::new(), String::new());
    let mut lines = document.lines();
    while let Some(line) = lines.next() {
        let Some(language) = line.trim_start().strip_prefix(FENCE) else {
            prose += line;
            prose.push('\n');
            continue;
        };
        commands.append(&mut spans(&std::mem::take(&mut prose)));
        let block: Vec<_> =
            lines.by_ref().take_while(|line| !line.trim_start().starts_with(FENCE)).collect();
        if language.trim() == "sh" {
            commands.append(&mut lines_of(&block.join("\n")));
        }
    }
    commands.append(&mut spans(&prose));
    commands
}

/// The commands of a block.
fn lines_of(block: &str) -> Vec<String> {
    let (mut commands, mut folder) = (Vec::new(), String::new());
    for line in block.replace("\\\n", " ").lines() {
        let command = one_line(line.split_once(" #").map_or(line, |(command, _)| command));
        match command.strip_prefix("cd ") {
            _ if command.is_empty() || command.starts_with('#') => {}
            Some(entered) if !entered.contains("&&") => folder = format!("{command} && "),
            _ => commands.push(format!("{folder}{command}")),
        }
    }
    commands
}

/// The commands among the code spans of a text without blocks.
fn spans(prose: &str) -> Vec<String> {
    // A span never reaches beyond its paragraph, so that a lone mark spoils no other.
    let paragraphs = prose.split("\n\n");
    let inside = paragraphs.flat_map(|paragraph| paragraph.split('`').skip(1).step_by(2));
    let spans = inside.map(one_line);
    spans.filter(|span| span.starts_with("cargo ") || span.starts_with("cd ")).collect()
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::commands;

    #[test]
    fn lines_of_blocks_lose_their_comments_and_breaks() {
        let document =
            "```sh\n# first\ncargo a --b   # why\n\nX=\"1 2\" cargo c \\\n    --d\n```\n";
        assert_eq!(commands(document), ["cargo a --b", "X=\"1 2\" cargo c --d"]);
    }

    #[test]
    fn a_folder_holds_to_the_end_of_its_block() {
        let document =
            "```sh\ncd a\ncargo b\ncargo c\n```\n```sh\ncargo d\ncd e && cargo f\ncargo g\n```\n";
        let expected =
            ["cd a && cargo b", "cd a && cargo c", "cargo d", "cd e && cargo f", "cargo g"];
        assert_eq!(commands(document), expected);
    }

    #[test]
    fn spans_are_found_across_lines_and_in_tables_and_others_are_not() {
        let document = "Run `cargo a\n  --b`, not `rm c`.\n\n| x | `cd d && cargo e` |\n\nA lone ` mark.\n\n`cargo f`.";
        assert_eq!(commands(document), ["cargo a --b", "cd d && cargo e", "cargo f"]);
    }

    #[test]
    fn blocks_of_other_languages_are_skipped() {
        let document =
            "```rust\n//! `cargo a`\n```\n```toml\ncargo b\n```\n```\ncargo c\n```\n`cargo d`";
        assert_eq!(commands(document), ["cargo d"]);
    }
}
