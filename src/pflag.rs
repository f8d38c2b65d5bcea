//! Reads arguments as pflag does, the library that kubeadm and the programs of Kubernetes use (spf13/pflag `flag.go`).
//!
//! One letter takes a value, in kubeadm and in the API server alike: `-v`.

/// Why a program ends at one of its arguments, before it does anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A flag at the end has no value.
    NoValue,
    /// Two dashes, and then no name.
    NoName,
    /// One dash, and then no known letter.
    UnknownLetter,
}

/// A flag among the arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flag<'a> {
    /// The name as it is written, without dashes; of a shorthand, the long name.
    pub written: &'a str,
    pub value: &'a str,
    /// The position of the argument.
    pub at: usize,
    /// The value is the next argument.
    pub separate: bool,
}

/// Arguments that were read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Arguments<'a> {
    /// In their order. If a flag is there several times, the last one counts; this is not so for the flags that collect
    /// their values, of which this program needs none.
    pub flags: Vec<Flag<'a>>,
    /// The positions of the arguments that are neither flags nor values of flags.
    pub words: Vec<usize>,
    /// The position of `--`, after which there are no flags.
    pub end: Option<usize>,
    /// The position of the first argument at which the program ends, and why.
    pub fault: Option<(usize, Fault)>,
}

impl<'a> Arguments<'a> {
    /// Reads arguments. `is_switch`: does the flag of this name take no value from the next argument? `letters`: the
    /// flags with such a short form.
    pub fn of<T: AsRef<str>>(
        arguments: &'a [T],
        is_switch: impl Fn(&str) -> bool,
        letters: &[(char, &'static str)],
    ) -> Arguments<'a> {
        let mut found = Arguments::default();
        let mut at = 0;
        while let Some(argument) = arguments.get(at).map(AsRef::as_ref) {
            let next = arguments.get(at + 1).map(AsRef::as_ref);
            let mut takes_next = false;
            if argument == "--" {
                found.end = Some(at);
                found.words.extend(at + 1..arguments.len());
                break;
            } else if let Some(long) = argument.strip_prefix("--") {
                takes_next = found.read_long(long, at, next, &is_switch);
            } else if let Some(short) = argument.strip_prefix('-').filter(|short| !short.is_empty()) {
                takes_next = found.read_letters(short, letters, at, next);
            } else {
                found.words.push(at);
            }
            at += 1 + usize::from(takes_next);
        }
        found
    }

    fn fail(&mut self, at: usize, fault: Fault) {
        self.fault = self.fault.or(Some((at, fault)));
    }

    /// Returns whether the next argument is the value.
    fn read_long(
        &mut self,
        long: &'a str,
        at: usize,
        next: Option<&'a str>,
        is_switch: impl Fn(&str) -> bool,
    ) -> bool {
        if long.starts_with(['-', '=']) {
            self.fail(at, Fault::NoName);
            return false;
        }
        let (written, value) = long.split_once('=').map_or((long, None), |(name, value)| (name, Some(value)));
        let value = value.or_else(|| is_switch(written).then_some("true"));
        self.add(written, value, at, next)
    }

    /// Letters after one dash: those of switches, then perhaps `v`, with the rest or the next argument as its value.
    fn read_letters(
        &mut self,
        mut short: &'a str,
        letters: &[(char, &'static str)],
        at: usize,
        next: Option<&'a str>,
    ) -> bool {
        while let Some(letter) = short.chars().next() {
            let rest = &short[letter.len_utf8()..];
            // pflag: in `-v=`, the equals sign is the value.
            let value = rest.strip_prefix('=').filter(|value| !value.is_empty());
            if letter == 'v' {
                return self.add("v", value.or(Some(rest).filter(|rest| !rest.is_empty())), at, next);
            }
            let Some((_, name)) = letters.iter().find(|(known, _)| *known == letter) else {
                self.fail(at, Fault::UnknownLetter);
                return false;
            };
            self.add(name, value.or(Some("true")), at, None);
            short = if value.is_some() { "" } else { rest };
        }
        false
    }

    fn add(&mut self, written: &'a str, value: Option<&'a str>, at: usize, next: Option<&'a str>) -> bool {
        let separate = value.is_none() && next.is_some();
        if value.or(next).is_none() {
            self.fail(at, Fault::NoValue);
        }
        self.flags.push(Flag { written, value: value.or(next).unwrap_or_default(), at, separate });
        separate
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_those_of_pflag() {
        // Each flag as name=value; `+` before it if the value is the next argument. Then the other words.
        for (line, flags, words) in [
            ("--a=1 --b 2 w", "a=1 +b=2", "w"),
            ("--switch w --switch=false", "switch=true switch=false", "w"),
            ("--a --b=1", "+a=--b=1", ""),
            ("--a -- w", "+a=--", "w"),
            ("--a=1=2 --b= w", "a=1=2 b=", "w"),
            ("-v 3 -v=4 -v5 -v=", "+v=3 v=4 v5 v==", ""),
            ("-hv 3 -h=false -hv=2", "help=true +v=3 help=false help=true v=2", ""),
            ("- w -- --a=1 -v", "", "- w --a=1 -v"),
        ] {
            let arguments: Vec<_> = line.split(' ').collect();
            let found = Arguments::of(&arguments, |name| name == "switch", &[('h', "help")]);
            let shown: Vec<_> = found
                .flags
                .iter()
                .map(|flag| format!("{}{}={}", if flag.separate { "+" } else { "" }, flag.written, flag.value))
                .collect();
            assert_eq!(shown.join(" "), flags.replace("v5", "v=5"), "{line}");
            let others: Vec<_> = found.words.iter().map(|at| arguments[*at]).collect();
            assert_eq!((others.join(" ").as_str(), found.fault), (words, None), "{line}");
        }
    }

    #[test]
    fn arguments_at_which_a_program_ends_are_known() {
        for (line, fault) in [
            ("w --a", (1, Fault::NoValue)),
            ("-v", (0, Fault::NoValue)),
            ("-hv", (0, Fault::NoValue)),
            ("--- --a", (0, Fault::NoName)),
            ("--=x", (0, Fault::NoName)),
            ("--a=1 -audit-log-path=x", (1, Fault::UnknownLetter)),
            ("-hé", (0, Fault::UnknownLetter)),
        ] {
            let arguments: Vec<_> = line.split(' ').collect();
            assert_eq!(Arguments::of(&arguments, |_| false, &[('h', "help")]).fault, Some(fault), "{line}");
        }
    }
}
