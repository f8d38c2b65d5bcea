//! The words that a shell line gives to kube-apiserver. Only a line that can be read surely is read: comments, quotes,
//! variables of the container and several commands are understood, and everything else is a reason to read nothing.

use super::command_line;

/// A shell, and what it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shell<'a> {
    line: &'a str,
    /// The position of the line among the words after the shell.
    pub at: usize,
    /// `$1`, `$2` and so on.
    parameters: &'a [String],
}

/// A word of a shell line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Word {
    /// What the shell makes of it. What is not known is as it is written, from its `$` or its backquote on.
    pub text: String,
    /// A part of it is known only to the shell, when it runs.
    pub unknown: bool,
    /// It has an unknown part that the shell may split into several words.
    splits: bool,
    quoted: bool,
}

/// A word, or the end of a command.
enum Token {
    Word(Word),
    /// `"$@"`: all parameters.
    Parameters,
    End,
}

const SHELLS: [&str; 4] = ["sh", "bash", "dash", "ash"];

/// Words before a command.
const BEFORE: [&str; 12] =
    ["if", "then", "else", "elif", "while", "until", "do", "!", "{", "time", "command", "nohup"];

/// Programs that start the program that they are given by its path.
const WRAPPERS: [&str; 9] =
    ["tini", "dumb-init", "go-runner", "env", "nice", "ionice", "setpriv", "su-exec", "gosu"];

/// The position of the shell in a command line, if a shell is started before the API server.
pub fn position(words: &[String]) -> Option<usize> {
    let own = command_line::start(words).unwrap_or(words.len());
    (0..own).find(|at| {
        let started = *at == 0 || words[*at].starts_with('/');
        started && SHELLS.iter().any(|shell| command_line::is_program(&words[*at], shell))
    })
}

impl<'a> Shell<'a> {
    /// Reads the words after the shell's own: options, then the line.
    ///
    /// # Errors
    ///
    /// It runs a file, or nothing.
    pub fn of(words: &'a [String]) -> Result<Shell<'a>, &'static str> {
        let (mut at, mut is_line) = (0, false);
        while let Some(options) = words.get(at).filter(|word| word.len() > 1 && word.starts_with(['-', '+'])) {
            at += 1;
            if options == "--" {
                break;
            }
            let letters = if options.starts_with("--") { "" } else { &options[1..] };
            is_line |= letters.contains('c');
            at += letters.matches(['o', 'O']).count();
        }
        match words.get(at) {
            Some(line) if is_line => Ok(Shell { line, at, parameters: words.get(at + 2..).unwrap_or_default() }),
            Some(_) => Err("its script is in a file"),
            None => Err("it is given no script"),
        }
    }

    /// A line without a shell before it, in the place of the shell.
    pub fn line(line: &'a str) -> Shell<'a> {
        Shell { line, at: 0, parameters: &[] }
    }

    /// The words after kube-apiserver, in the one command that starts it. `variable`: the value of a variable of the
    /// container, if it is known.
    ///
    /// # Errors
    ///
    /// Why the line cannot be read surely.
    pub fn api_server(&self, variable: &dyn Fn(&str) -> Option<String>) -> Result<Vec<Word>, &'static str> {
        let mut reader = Reader { left: self.line, whole: self.line, variable, tokens: Vec::new(), word: None };
        reader.read()?;
        let mut found = Vec::new();
        let mut programs = Vec::new();
        for command in reader.tokens.split(|token| matches!(token, Token::End)) {
            let words: Vec<_> = command
                .iter()
                .flat_map(|token| match token {
                    Token::Word(word) => vec![word.clone()],
                    Token::Parameters => {
                        let word = |text: &String| Word { text: text.clone(), ..Word::default() };
                        self.parameters.iter().map(word).collect()
                    }
                    Token::End => Vec::new(),
                })
                .collect();
            let words = command_of(&words);
            programs.extend(words.first().map(|word| word.text.clone()));
            found.extend(own_words(words).map(<[Word]>::to_vec));
        }
        let has = |names: &[&str]| programs.iter().any(|program| names.contains(&program.as_str()));
        if has(&["eval", ".", "source", "alias", "unalias", "function", "trap", "hash"]) {
            return Err("it runs commands that are not in it");
        }
        if has(&["shift", "set"]) && reader.tokens.iter().any(|token| matches!(token, Token::Parameters)) {
            return Err("it changes its parameters");
        }
        match <[Vec<Word>; 1]>::try_from(found) {
            Ok([words]) => sure(words),
            Err(found) if found.is_empty() => Err("none of its commands is kube-apiserver"),
            Err(_) => Err("several of its commands are kube-apiserver"),
        }
    }
}

/// A command without the words before it: keywords, variables, `exec`.
fn command_of(mut words: &[Word]) -> &[Word] {
    while let [first, rest @ ..] = words {
        words = match first.text.as_str() {
            "exec" => match rest {
                [option, _, rest @ ..] if option.text == "-a" => rest,
                [option, rest @ ..] if ["-c", "-l", "-cl"].contains(&option.text.as_str()) => rest,
                _ => rest,
            },
            text if BEFORE.contains(&text) || is_assignment(text) => rest,
            _ => break,
        };
    }
    words
}

fn is_name(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && text.bytes().next().is_some_and(|byte| !byte.is_ascii_digit())
}

fn is_assignment(text: &str) -> bool {
    text.split_once('=').is_some_and(|(name, _)| is_name(name))
}

/// The words after the API server's program, if this command starts it.
fn own_words(words: &[Word]) -> Option<&[Word]> {
    let texts: Vec<_> = words.iter().map(|word| word.text.as_str()).collect();
    let is_wrapper = WRAPPERS.iter().any(|name| command_line::is_program(texts.first().unwrap_or(&""), name));
    let start = command_line::start(&texts).or_else(|| {
        let bare = texts.iter().position(|text| *text == "kube-apiserver")?;
        is_wrapper.then_some(bare + 1)
    })?;
    // The path of the program in a test, or in another program's words, starts nothing.
    (is_wrapper || start == 1 || (start == 2 && command_line::is_program(texts[0], "hyperkube")))
        .then(|| &words[start..])
}

/// Checks that the number of words is known, and which of them are flags.
fn sure(words: Vec<Word>) -> Result<Vec<Word>, &'static str> {
    const HIDDEN: &str = "some of the words of kube-apiserver are known only to the shell";
    let named = |word: &Word| {
        let name = word.text.strip_prefix("--").and_then(|flag| flag.split_once('=')).map(|(name, _)| name);
        name.is_some_and(|name| !name.contains(['$', '`']))
    };
    if words.iter().any(|word| word.splits && !named(word)) {
        return Err(HIDDEN);
    }
    let texts: Vec<_> = words.iter().map(|word| word.text.as_str()).collect();
    let arguments = command_line::read(&texts);
    let mut hidden = words.iter().enumerate().filter(|(at, word)| {
        let is_value = arguments.flags.iter().any(|flag| flag.separate && flag.at + 1 == *at);
        word.unknown && !named(word) && !is_value
    });
    if hidden.next().is_some() { Err(HIDDEN) } else { Ok(words) }
}

struct Reader<'a> {
    left: &'a str,
    whole: &'a str,
    variable: &'a dyn Fn(&str) -> Option<String>,
    tokens: Vec<Token>,
    word: Option<Word>,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Option<char> {
        let next = self.left.chars().next()?;
        self.left = &self.left[next.len_utf8()..];
        Some(next)
    }

    fn word(&mut self) -> &mut Word {
        self.word.get_or_insert_default()
    }

    fn end_word(&mut self) {
        if let Some(word) = self.word.take() {
            self.tokens.push(Token::Word(word));
        }
    }

    fn read(&mut self) -> Result<(), &'static str> {
        while let Some(next) = self.next() {
            match next {
                '#' if self.word.is_none() => {
                    let end = self.left.find('\n').unwrap_or(self.left.len());
                    self.left = &self.left[end..];
                }
                ' ' | '\t' => self.end_word(),
                '\n' | ';' | '|' | '&' | '(' | ')' => {
                    self.end_word();
                    self.tokens.push(Token::End);
                }
                '<' | '>' => self.redirect(next)?,
                '\\' => match self.next() {
                    Some('\n') => {}
                    Some(escaped) => {
                        self.word().quoted = true;
                        self.word().text.push(escaped);
                    }
                    None => self.word().text.push('\\'),
                },
                '\'' => {
                    let (text, rest) = self.left.split_once('\'').ok_or("a quote in it has no end")?;
                    self.word().quoted = true;
                    self.word().text.push_str(text);
                    self.left = rest;
                }
                '"' => self.double_quoted()?,
                '$' => self.dollar(false)?,
                '`' => self.backquoted(false)?,
                '{' if self.word.is_some() || !self.left.starts_with([' ', '\t', '\n']) => {
                    // bash makes several words of {a,b}.
                    let end = self.left.find([' ', '\t', '\n']).unwrap_or(self.left.len());
                    let several = self.left[..end].contains(',') || self.left[..end].contains("..");
                    self.word().text.push('{');
                    self.word().splits |= several;
                    self.word().unknown |= several;
                }
                _ => self.word().text.push(next),
            }
        }
        self.end_word();
        Ok(())
    }

    /// Skips a redirection, with the number before it and the word after it.
    fn redirect(&mut self, first: char) -> Result<(), &'static str> {
        let is_number = |word: &Word| !word.quoted && word.text.bytes().all(|byte| byte.is_ascii_digit());
        if self.word.as_ref().is_some_and(is_number) {
            self.word = None;
        }
        self.end_word();
        if first == '<' && self.left.starts_with('<') || self.left.starts_with('(') {
            return Err("it has a document or a process in place of a file");
        }
        self.left = self.left.trim_start_matches(['<', '>', '&', '|']).trim_start_matches([' ', '\t']);
        if self.left.starts_with('(') {
            return Err("it has a process in place of a file");
        }
        // The word is read as any other one, and then dropped.
        let mut target = Reader { tokens: Vec::new(), word: None, ..*self };
        let end = target.length_of_word()?;
        self.left = &self.left[end..];
        Ok(())
    }

    /// How long the next word is, in bytes.
    fn length_of_word(&mut self) -> Result<usize, &'static str> {
        let all = self.left.len();
        loop {
            let before = self.left.len();
            match self.next() {
                None => return Ok(all),
                Some(' ' | '\t' | '\n' | ';' | '|' | '&' | '(' | ')' | '<' | '>') => return Ok(all - before),
                Some('\\') => drop(self.next()),
                Some('\'') => self.left = self.left.split_once('\'').ok_or("a quote in it has no end")?.1,
                Some('"') => self.double_quoted()?,
                Some('$') => self.dollar(false)?,
                Some('`') => self.backquoted(false)?,
                Some(_) => {}
            }
        }
    }

    fn double_quoted(&mut self) -> Result<(), &'static str> {
        if let Some(rest) = self.left.strip_prefix("$@\"")
            && self.word.is_none()
            && rest.chars().next().is_none_or(|next| " \t\n;|&)<>".contains(next))
        {
            self.left = rest;
            self.tokens.push(Token::Parameters);
            return Ok(());
        }
        self.word().quoted = true;
        loop {
            match self.next().ok_or("a quote in it has no end")? {
                '"' => return Ok(()),
                '\\' => match self.next().ok_or("a quote in it has no end")? {
                    '\n' => {}
                    escaped if "$`\"\\".contains(escaped) => self.word().text.push(escaped),
                    other => {
                        self.word().text.push('\\');
                        self.word().text.push(other);
                    }
                },
                '$' => self.dollar(true)?,
                '`' => self.backquoted(true)?,
                other => self.word().text.push(other),
            }
        }
    }

    fn hide(&mut self, text: &str, quoted: bool) {
        let word = self.word();
        word.text.push_str(text);
        word.unknown = true;
        word.splits |= !quoted;
    }

    fn backquoted(&mut self, quoted: bool) -> Result<(), &'static str> {
        let (command, rest) = self.left.split_once('`').ok_or("a quote in it has no end")?;
        if command.contains('\\') {
            return Err("a command in it is written with backslashes");
        }
        self.left = rest;
        self.hide(&format!("`{command}`"), quoted);
        Ok(())
    }

    /// What stands behind a dollar sign.
    fn dollar(&mut self, quoted: bool) -> Result<(), &'static str> {
        const NO_END: &str = "a bracket in it has no end";
        if self.left.starts_with('(') {
            let mut depth = 0_usize;
            let end = self.left.char_indices().find_map(|(at, c)| {
                match c {
                    '(' => depth += 1,
                    ')' => depth -= 1,
                    _ => {}
                }
                (depth == 0).then_some(at + 1)
            });
            let (command, rest) = self.left.split_at(end.ok_or(NO_END)?);
            // A bracket in a quote or a comment does not count for the shell.
            if command.contains(['\'', '"', '#', '\\', '`']) {
                return Err("a command in it has quotes");
            }
            self.left = rest;
            self.hide(&format!("${command}"), quoted);
            return Ok(());
        }
        if self.left.starts_with(['\'', '"']) && !quoted {
            return Err("it has quotes with a dollar sign before them");
        }
        let (name, rest) = if let Some(braced) = self.left.strip_prefix('{') {
            let (name, rest) = braced.split_once('}').ok_or(NO_END)?;
            if name.contains(['$', '"', '\'', '`', '\\', '{']) {
                return Err("it has variables in variables");
            }
            (name, rest)
        } else {
            let end = self.left.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(self.left.len());
            let end = match self.left.chars().next() {
                Some(c) if c.is_ascii_digit() || "@*#?$!-".contains(c) => 1,
                _ => end,
            };
            if end == 0 {
                self.word().text.push('$');
                return Ok(());
            }
            self.left.split_at(end)
        };
        let written = format!("${}", &self.left[..self.left.len() - rest.len()]);
        self.left = rest;
        match self.value(name) {
            Some(value) if quoted || !value.contains([' ', '\t', '\n', '*', '?', '[']) => {
                // An empty variable without quotes is no word.
                if quoted || !value.is_empty() {
                    self.word().text.push_str(&value);
                }
            }
            _ => self.hide(&written, quoted),
        }
        Ok(())
    }

    /// The value of a variable that the line itself does not change: its name stands only behind a dollar sign.
    fn value(&self, name: &str) -> Option<String> {
        if !is_name(name) {
            return None;
        }
        let is_changed = self.whole.match_indices(name).any(|(at, _)| {
            let (before, after) = (&self.whole[..at], &self.whole[at + name.len()..]);
            let is_part = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_');
            let is_use = before.ends_with('$') || before.ends_with("${") && after.starts_with('}');
            let is_other = is_part(before.chars().last()) || is_part(after.chars().next());
            !is_use && !is_other
        });
        (self.variable)(name).filter(|_| !is_changed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(command: &[&str]) -> Result<String, &'static str> {
        let command: Vec<_> = command.iter().map(|word| (*word).to_owned()).collect();
        let at = position(&command).expect("a shell");
        let variable = |name: &str| match name {
            "IP" => Some("10.0.0.1".to_owned()),
            "FLAGS" => Some("--a=1 --b=2".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        };
        let words = Shell::of(&command[at + 1..])?.api_server(&variable)?;
        let shown = |word: &Word| format!("<{}{}>", word.text, if word.unknown { "?" } else { "" });
        Ok(words.iter().map(shown).collect())
    }

    #[test]
    fn the_words_are_those_of_the_one_command_that_starts_it() {
        for (line, expected) in [
            ("kube-apiserver --a=1", "<--a=1>"),
            ("# off: --a=1\nexec kube-apiserver --b=2 # --c=3", "<--b=2>"),
            ("# kube-apiserver --a=1\nkube-apiserver --b=2", "<--b=2>"),
            ("exec kube-apiserver --a=x#y", "<--a=x#y>"),
            ("echo --a=1; exec /usr/local/bin/kube-apiserver --b=2 && echo --c=3", "<--b=2>"),
            ("A=1 exec -a x kube-apiserver \\\n  --b=2 \\\n  --c=3\n", "<--b=2><--c=3>"),
            ("kube-apiserver '--a=1 2' \"--b=\\\"3\\\"\" --c=\\ 4 ''", "<--a=1 2><--b=\"3\"><--c= 4><>"),
            ("until nc -z localhost 2379; do sleep 1; done; exec kube-apiserver --a=1", "<--a=1>"),
            ("[ -x /usr/bin/kube-apiserver ] || exit 1\nexec kube-apiserver --a=1", "<--a=1>"),
            ("kube-apiserver --a=1 1>>/var/log/x.log 2>&1 --b=2 | tee -a \"/l x\"", "<--a=1><--b=2>"),
            ("exec kube-apiserver >/dev/null --a=1 &", "<--a=1>"),
            ("/hyperkube apiserver --a=1", "<--a=1>"),
            ("/tini -- /usr/bin/kube-apiserver --a=1", "<--a=1>"),
            ("exec env A=1 kube-apiserver --a=1", "<--a=1>"),
            (
                "kube-apiserver --a=$IP --b=\"${IP}:1\" '--c=$IP' --d=\\$IP --e=$",
                "<--a=10.0.0.1><--b=10.0.0.1:1><--c=$IP><--d=$IP><--e=$>",
            ),
            ("IP=$(hostname -i); kube-apiserver --a=$IP --b \"$IP\"", "<--a=$IP?><--b><$IP?>"),
            (
                "kube-apiserver --a=`hostname` --b=$(hostname -i) --c=${X:-y}",
                "<--a=`hostname`?><--b=$(hostname -i)?><--c=${X:-y}?>",
            ),
            ("kube-apiserver $EMPTY --a=1", "<--a=1>"),
            ("kube-apiserver --a={x}", "<--a={x}>"),
        ] {
            assert_eq!(words(&["/bin/sh", "-c", line]), Ok(expected.to_owned()), "{line}");
        }
        for (command, expected) in [
            (&["sh", "-ec", "exec kube-apiserver \"$@\"", "name", "--a=1", "--b 2"][..], "<--a=1><--b 2>"),
            (&["bash", "-euo", "pipefail", "-c", "kube-apiserver --a=1"], "<--a=1>"),
            (&["/bin/sh", "-c", "kube-apiserver --a=1", "--b=2"], "<--a=1>"),
            (&["/tini", "--", "/bin/sh", "-c", "kube-apiserver --a=1"], "<--a=1>"),
        ] {
            assert_eq!(words(command), Ok(expected.to_owned()), "{command:?}");
        }
    }

    #[test]
    fn a_line_that_is_not_sure_is_not_read() {
        for (line, why) in [
            ("echo kube-apiserver", "none"),
            ("# kube-apiserver --a=1", "none"),
            ("timeout 9 kube-apiserver --a=1", "none"),
            ("if a; then kube-apiserver --a=1; else kube-apiserver --a=2; fi", "several"),
            ("kube-apiserver $MORE", "known only to the shell"),
            ("kube-apiserver $FLAGS", "known only to the shell"),
            ("kube-apiserver \"$MORE\"", "known only to the shell"),
            ("kube-apiserver --$X=1", "known only to the shell"),
            ("kube-apiserver --profiling \"$X\"", "known only to the shell"),
            ("kube-apiserver $(cat /flags)", "known only to the shell"),
            ("kube-apiserver `cat /flags`", "known only to the shell"),
            ("kube-apiserver {--a=1,--b=2}", "known only to the shell"),
            ("kube-apiserver $@", "known only to the shell"),
            ("set -- --a=1; exec kube-apiserver \"$@\"", "changes its parameters"),
            (". /env; kube-apiserver --a=1", "not in it"),
            ("eval x; kube-apiserver --a=1", "not in it"),
            ("cat <<E\nkube-apiserver --a=1\nE\nkube-apiserver --b=1", "in place of a file"),
            ("kube-apiserver --a=1 > >(tee x)", "in place of a file"),
            ("kube-apiserver '--a=1", "no end"),
            ("kube-apiserver \"--a=1", "no end"),
            ("kube-apiserver $'--a=1'", "dollar sign"),
            ("kube-apiserver --a=$(x", "no end"),
            ("kube-apiserver --a=$(echo ')' --b=1)", "quotes"),
        ] {
            let found = words(&["/bin/sh", "-c", line]);
            assert!(found.as_ref().is_err_and(|found| found.contains(why)), "{line}: {found:?}");
        }
        assert_eq!(words(&["/bin/sh", "/start.sh", "--a=1"]), Err("its script is in a file"));
        assert_eq!(words(&["/bin/sh", "-e"]), Err("it is given no script"));
    }
}
