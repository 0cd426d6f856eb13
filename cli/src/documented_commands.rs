//! The commands in the documents, read by the parser of the command.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Parser as _;
use clap::error::ErrorKind;

use super::Cli;

/// Words that stand for what a reader fills in, where a parser knows what may stand there.
const PLACEHOLDERS: [(&str, &str); 3] =
    [("STORE", "postgres"), ("INDEX/COUNT", "0/2"), ("PLACE", "RETRY.ERROR_SUMMARY.v1/0/0")];

fn documents() -> Vec<PathBuf> {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut found: Vec<PathBuf> = ["README.md", "ARCHITECTURE.md", "benches/README.md", "services/README.md"]
        .map(|name| repository.join(name))
        .to_vec();
    let pages = fs::read_dir(repository.join("docs")).unwrap().map(|entry| entry.unwrap().path());
    found.extend(pages.filter(|path| path.extension().is_some_and(|extension| extension == "md")));
    found
}

/// A command of a document.
struct DocumentedCommand {
    /// As it is written.
    text: String,
    /// Whether it stands in a block, to be typed as it is; within a sentence it may leave out what it must have.
    is_whole: bool,
}

/// Returns what is in blocks, line by line, and what is quoted in sentences.
fn commands_of(document: &str) -> Vec<DocumentedCommand> {
    let mut commands = Vec::new();
    let mut sentences = String::new();
    let mut is_in_block = false;
    for line in document.lines() {
        if line.trim_start().starts_with("```") {
            is_in_block = !is_in_block;
        } else if is_in_block {
            let line = line.strip_prefix("$ ").unwrap_or(line);
            let text = line.split(" #").next().unwrap_or_default().trim().to_owned();
            commands.push(DocumentedCommand { text, is_whole: true });
        } else {
            sentences.push_str(line);
            sentences.push(' ');
        }
    }
    let quoted = sentences.split('`').skip(1).step_by(2);
    commands.extend(quoted.map(|text| DocumentedCommand { text: text.to_owned(), is_whole: false }));
    commands
}

/// Returns the arguments of a call of the command, or of a program that is the command with one job more.
fn arguments_of(text: &str) -> Option<Vec<&str>> {
    let text = text.split(" | ").next().unwrap_or(text);
    let of_cargo = || {
        let (cargo, arguments) = text.strip_prefix("cargo run ")?.split_once("-- ")?;
        let is_ours = !cargo.contains("-p ") || cargo.contains("-p slow-requests");
        is_ours.then_some(arguments)
    };
    let arguments = text.strip_prefix("yahtzee ").or_else(of_cargo)?;
    Some(arguments.split_whitespace().collect())
}

/// Returns a call for each of the words in `list|inspect`.
fn alternatives(arguments: &[&str]) -> Vec<Vec<String>> {
    let mut calls = vec![vec!["yahtzee".to_owned()]];
    for argument in arguments {
        let written =
            PLACEHOLDERS.iter().find(|(word, _)| word == argument).map_or(*argument, |(_, value)| value);
        calls = written
            .split('|')
            .flat_map(|word| {
                let with_word = |call: &Vec<String>| [call.clone(), vec![word.to_owned()]].concat();
                calls.iter().map(with_word).collect::<Vec<_>>()
            })
            .collect();
    }
    calls
}

fn check(path: &Path, command: &DocumentedCommand) -> usize {
    let Some(arguments) = arguments_of(&command.text) else { return 0 };
    let calls = alternatives(&arguments);
    for call in &calls {
        let Err(error) = Cli::try_parse_from(call) else { continue };
        let is_shown = error.kind() == ErrorKind::DisplayVersion;
        let is_short = matches!(
            error.kind(),
            ErrorKind::MissingRequiredArgument
                | ErrorKind::MissingSubcommand
                | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
        );
        let is_short = is_short || error.to_string().contains("but none was supplied");
        assert!(is_shown || (is_short && !command.is_whole), "{}: {}: {error}", path.display(), command.text);
    }
    calls.len()
}

#[test]
fn every_command_of_the_documents_is_one() {
    let mut found = 0;
    for path in documents() {
        let document = fs::read_to_string(&path).unwrap();
        found += commands_of(&document).iter().map(|command| check(&path, command)).sum::<usize>();
    }
    assert!(found > 40, "only {found} commands found");
}
