//! The words with which a container starts the API server, from `command` and `args`.

use std::collections::BTreeMap;

use super::settings::Refusal;
use crate::audit::command_line;
use crate::audit::flags;
use crate::audit::shell::{self, Shell};
use crate::pflag::{Arguments, Fault};
use crate::yaml::scalar::{Type, resolve};
use crate::yaml::{Node, Position};

/// An audit flag in `command` or `args`.
pub(super) struct Arg {
    /// The list and the item that has the value.
    pub list: &'static str,
    pub index: usize,
    /// The name as it is written, without the dashes.
    pub written: String,
    pub value: String,
    /// The item has the value alone; the name is in the item before it.
    pub separate: bool,
}

/// The flags of a container's command line.
pub(super) struct CommandLine {
    /// The audit flags, in order; the last one of a name counts.
    pub args: Vec<Arg>,
    /// All flags as `--NAME=VALUE`, each once.
    pub words: Vec<String>,
    /// The position of the shell line, if a shell starts the API server. The line is read, but not edited.
    pub shell: Option<Position>,
}

impl CommandLine {
    /// Are the flags in a shell line itself? With `sh -c 'exec "$@"' -- kube-apiserver --a=b`, they are items of the list.
    pub fn is_in_line(&self, container: &Node) -> bool {
        let is_item = |list: &str| words_of(container, list).into_iter().any(is_own_word);
        self.shell.is_some() && !is_item("command") && !is_item("args")
    }
}

/// A word in a list of a container.
struct Word<'n> {
    list: &'static str,
    index: usize,
    node: &'n Node,
}

fn words_of<'n>(container: &'n Node, list: &str) -> Vec<&'n str> {
    let items = container.get(list).and_then(Node::items).unwrap_or_default();
    items.iter().filter_map(Node::scalar).collect()
}

/// Does a container start the API server, by itself or by a shell line?
pub(super) fn runs_api_server(container: &Node) -> bool {
    let mut all = words_of(container, "command");
    all.extend(words_of(container, "args"));
    command_line::start(&all).is_some() || all.iter().any(|word| in_shell_line(word))
}

/// Is a word alone the program of the API server?
pub(super) fn is_own_word(word: &str) -> bool {
    command_line::is_program(word, "kube-apiserver")
}

/// Is a word a whole shell line, and does one of its commands seem to be the API server?
fn in_shell_line(word: &str) -> bool {
    let without_comment = |line: &str| {
        let comment = line.match_indices('#').find(|(at, _)| !line[..*at].ends_with(|c: char| !c.is_whitespace()));
        line[..comment.map_or(line.len(), |(at, _)| at)].to_owned()
    };
    word.split_whitespace().count() > 1
        && word.lines().map(without_comment).any(|line| {
            line.split([';', '&', '|']).any(|command| {
                let mut words =
                    command.split_whitespace().skip_while(|word| *word == "exec" || word.contains('='));
                words.next().is_some_and(|program| command_line::is_program(program, "kube-apiserver"))
            })
        })
}

/// Variables by their names. `None` for a value that is not in the file.
pub(super) type Variables<'n> = BTreeMap<&'n str, Option<String>>;

/// The variables in a list such as `env` of a container.
pub(super) fn variables(list: Option<&Node>) -> Variables<'_> {
    let mut variables = BTreeMap::new();
    for variable in list.and_then(Node::items).unwrap_or_default() {
        let Some(name) = variable.get("name").and_then(Node::scalar) else { continue };
        let from = variable.get("valueFrom").filter(|from| !from.is_null());
        let value = variable.get("value").filter(|value| !value.is_null());
        let value = match (from, value) {
            (Some(_), _) => None,
            (None, Some(value)) => expand(value.scalar().unwrap_or_default(), &variables),
            (None, None) => Some(String::new()),
        };
        variables.insert(name, value);
    }
    variables
}

/// A text after the kubelet has put in the variables (`third_party/forked/golang/expansion`). `None` if one of them is
/// not known.
pub(super) fn expand(text: &str, variables: &Variables<'_>) -> Option<String> {
    let mut expanded = String::new();
    let mut left = text;
    while let Some((before, after)) = left.split_once('$') {
        expanded.push_str(before);
        left = after;
        if let Some(rest) = after.strip_prefix('$') {
            expanded.push('$');
            left = rest;
        } else if let Some((name, rest)) = after.strip_prefix('(').and_then(|name| name.split_once(')')) {
            expanded.push_str(variables.get(name)?.as_ref()?);
            left = rest;
        } else {
            expanded.push('$');
        }
    }
    Some(expanded + left)
}

/// Reads the command line of the API server.
///
/// # Errors
///
/// A word that the API server does not take, or a shell line that cannot be read surely.
pub(super) fn command_line(container: &Node) -> Result<CommandLine, Refusal> {
    let variables = variables(container.get("env"));
    let mut words = Vec::new();
    for list in ["command", "args"] {
        let Some(node) = container.get(list).filter(|node| !node.is_null()) else {
            continue;
        };
        let Some(items) = node.items() else {
            return Err(Refusal::new(node.position, format!("{list} must be a list")));
        };
        for (index, node) in items.iter().enumerate() {
            if resolve(node) != Type::Str {
                let reason =
                    format!("{list} takes strings, and this is {}; put it in quotes", resolve(node).name());
                return Err(Refusal::new(node.position, reason));
            }
            words.push(Word { list, index, node });
        }
    }
    // A variable that is not known stays as it is written.
    let texts: Vec<_> = words
        .iter()
        .map(|word| {
            let text = word.node.scalar().unwrap_or_default();
            expand(text, &variables).unwrap_or_else(|| text.to_owned())
        })
        .collect();
    let known = |name: &str| variables.get(name).cloned().flatten();
    let shell = match shell::position(&texts) {
        Some(at) => Some((at, Shell::of(&texts[at + 1..]).map(|shell| (at + 1 + shell.at, shell)))),
        None => {
            texts.iter().position(|text| in_shell_line(text)).map(|at| (at, Ok((at, Shell::line(&texts[at])))))
        }
    };
    if let Some((at, shell)) = shell {
        let position = words[shell.as_ref().map_or(at, |(line, _)| *line)].node.position;
        return of_shell(position, shell.and_then(|(_, shell)| shell.api_server(&known)));
    }
    let start = command_line::start(&texts);
    let bare = || texts.iter().position(|text| text == "kube-apiserver").map(|at| at + 1);
    // Without a command, the image's own one runs.
    let is_image = container.get("command").is_none_or(Node::is_null);
    let own = start.or_else(bare).or(is_image.then_some(0));
    let first = own.unwrap_or_default();
    let arguments = match own {
        Some(_) => command_line::read(&texts[first..]),
        None => command_line::read_of_wrapper(&texts),
    };
    match (own, arguments.end) {
        (Some(_), _) => check(&arguments, &words[first..], &texts[first..])?,
        (None, Some(at)) => {
            let reason = "another program starts the API server, and only that program knows whose words stand after \
                          `--`; write the path of kube-apiserver after it";
            return Err(Refusal::new(words[at].node.position, reason));
        }
        // An audit flag that is added behind it would be its value.
        (None, None) if let Some((at, Fault::NoValue)) = arguments.fault => {
            let name = texts[at].split('=').next().unwrap_or_default();
            let reason = format!(
                "{name} is the last word, and may take the next one as its value; give it its value, or put it before \
                 another word"
            );
            return Err(Refusal::new(words[at].node.position, reason));
        }
        (None, None) => {}
    }
    let audit = arguments.flags.iter().filter(|flag| flags::is_audit(&flags::normal(flag.written)));
    let args = audit.map(|flag| {
        let word = &words[first + flag.at + usize::from(flag.separate)];
        Arg {
            list: word.list,
            index: word.index,
            written: flag.written.to_owned(),
            value: flag.value.to_owned(),
            separate: flag.separate,
        }
    });
    Ok(CommandLine { args: args.collect(), words: canonical(&arguments), shell: None })
}

/// The flags of a shell line.
fn of_shell(position: Position, line: Result<Vec<shell::Word>, &'static str>) -> Result<CommandLine, Refusal> {
    let unsure = |why: &str| {
        let reason = format!(
            "a shell starts the API server, and its line cannot be read surely, because {why}; start kube-apiserver \
             without a shell, or by one plain command with all its flags"
        );
        Refusal::new(position, reason)
    };
    let words = line.map_err(unsure)?;
    let texts: Vec<_> = words.iter().map(|word| word.text.as_str()).collect();
    let arguments = command_line::read(&texts);
    if arguments.fault.is_some() || arguments.words.iter().any(|at| !texts[*at].is_empty()) {
        return Err(unsure("kube-apiserver does not take all its words"));
    }
    let mut args = Vec::new();
    for flag in arguments.flags.iter().filter(|flag| flags::is_audit(&flags::normal(flag.written))) {
        if words[flag.at + usize::from(flag.separate)].unknown {
            return Err(unsure(&format!("the value of --{} is known only to the shell", flag.written)));
        }
        let (written, value) = (flag.written.to_owned(), flag.value.to_owned());
        args.push(Arg { list: "command", index: 0, written, value, separate: false });
    }
    Ok(CommandLine { words: canonical(&arguments), args, shell: Some(position) })
}

/// The flags, each once, with the value that counts.
fn canonical(arguments: &Arguments<'_>) -> Vec<String> {
    let all: Vec<_> = arguments.flags.iter().map(|flag| (flags::normal(flag.written), flag.value)).collect();
    let counts =
        |(at, (name, _)): &(usize, &(String, &str))| !all[at + 1..].iter().any(|(other, _)| other == name);
    all.iter().enumerate().filter(counts).map(|(_, (name, value))| format!("--{name}={value}")).collect()
}

/// Checks that the API server takes all its words.
fn check(arguments: &Arguments<'_>, words: &[Word<'_>], texts: &[String]) -> Result<(), Refusal> {
    if let Some(at) = arguments.end {
        let reason = "kube-apiserver reads no flags after `--`; remove it";
        return Err(Refusal::new(words[at].node.position, reason));
    }
    if let Some((at, fault)) = arguments.fault {
        // Only the name of a flag is told: a value may be a secret.
        let name = texts[at].split('=').next().unwrap_or_default();
        let reason = match fault {
            Fault::NoValue => format!("{name} has no value; give it one"),
            Fault::NoName => {
                "this word has dashes and no name after them, and is no flag; write --NAME=VALUE".to_owned()
            }
            Fault::UnknownLetter => {
                format!("{name:?} is no flag of kube-apiserver; write two dashes before its name")
            }
        };
        return Err(Refusal::new(words[at].node.position, reason));
    }
    // A word of a variable that is not known may be anything.
    match arguments.words.iter().find(|at| !texts[**at].is_empty() && !texts[**at].contains('$')) {
        Some(at) => {
            let reason = "kube-apiserver takes flags alone, and this word is none; remove it";
            Err(Refusal::new(words[*at].node.position, reason))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(container: &str) -> Result<CommandLine, Refusal> {
        let documents = crate::yaml::parse(container).expect(container);
        command_line(&documents[0].root)
    }

    #[test]
    fn words_have_every_form_that_the_kubelet_and_pflag_take() {
        for (container, expected) in [
            ("{command: [kube-apiserver, --secure-port, \"8443\", -v=3]}", "--secure-port=8443 --v=3"),
            (
                "{command: [kube-apiserver, --a=1, --secure_port], args: [\"8443\", --a=2]}",
                "--secure-port=8443 --a=2",
            ),
            ("{args: [--profiling, --a=1]}", "--profiling=true --a=1"),
            ("{command: [/entry, --quiet, --audit-log-path, /a]}", "--quiet=true --audit-log-path=/a"),
            ("{command: [/tini, --, kube-apiserver, --a, --b]}", "--a=--b"),
            (
                "{env: [{name: A, value: x}, {name: B, value: $(A)y}, {name: IP, valueFrom: {fieldRef: {}}}], command: \
                 [kube-apiserver, --a=$(B), --b=$$(A), --c=$(IP), --d=$(NO), --e=$(A, --f=$A]}",
                "--a=xy --b=$(A) --c=$(IP) --d=$(NO) --e=$(A --f=$A",
            ),
            ("{command: [sh, -c, \"# off: --a=1; kube-apiserver --b=1\\nexec kube-apiserver --c=1\"]}", "--c=1"),
            ("{command: [sh, -c, 'exec kube-apiserver \"$@\"', x], args: [--a=1]}", "--a=1"),
        ] {
            assert_eq!(line(container).map(|line| line.words.join(" ")), Ok(expected.to_owned()), "{container}");
        }
    }

    #[test]
    fn words_that_the_api_server_does_not_take_are_refused_where_they_are() {
        // The mark stands before what is refused.
        for (marked, reason) in [
            ("{command: [kube-apiserver, ^--a]}", "--a has no value"),
            ("{command: [kube-apiserver, --profiling, ^\"true\"]}", "takes flags alone"),
            ("{command: [kube-apiserver, ^-audit-log-path=/a]}", "two dashes"),
            ("{command: [kube-apiserver, ^--=x]}", "is no flag"),
            ("{args: [--a=1, ^x]}", "takes flags alone"),
            ("{command: [/entry, --a=1, ^--]}", "whose words stand after `--`"),
            ("{command: [/entry, --a=1, ^-v]}", "may take the next one as its value"),
            ("{command: [/entry, ^--audit-log-path]}", "may take the next one as its value"),
            ("{command: [/entry, ^--, --audit-log-path=/a]}", "whose words stand after `--`"),
            ("{command: [sh, -c, ^\"kube-apiserver $X\"]}", "known only to the shell"),
            ("{command: [sh, -c, ^\"kube-apiserver --audit-log-path=$X\"]}", "the value of --audit-log-path"),
            ("{command: [^sh, /kube-apiserver.sh, --a=1]}", "in a file"),
            ("{command: [sh, -c, ^\"kube-apiserver x\"]}", "does not take all its words"),
        ] {
            let refusal = line(&marked.replace('^', "")).err().expect(marked);
            assert!(refusal.reason.contains(reason), "{marked}: {refusal}");
            assert_eq!(refusal.position.column, marked.find('^').unwrap() + 1, "{marked}: {refusal}");
        }
    }

    #[test]
    fn a_refusal_quotes_no_value() {
        for container in [
            "{command: [kube-apiserver, --profiling, hidden]}",
            "{command: [kube-apiserver, -token=hidden]}",
            "{command: [kube-apiserver, --=hidden]}",
            "{command: [kube-apiserver, hidden, --a=1]}",
        ] {
            let refusal = line(container).err().expect(container);
            assert!(!refusal.reason.contains("hidden"), "{container}: {refusal}");
        }
    }
}
