//! The kubelet's command line as systemd makes it: the unit of the kubelet with its drop-ins, their variables, and the
//! files of variables that they name (systemd.unit(5), systemd.exec(5), systemd.service(5)).

use std::collections::BTreeMap;

use super::root::Root;

/// Where units are: what comes first wins.
const DIRECTORIES: [&str; 5] = [
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
];
const UNIT: &str = "kubelet.service";
/// The most files of variables that are read.
const MAX_FILES: usize = 32;

/// What the units say of the kubelet's flags.
#[derive(Debug, Default, PartialEq)]
pub struct UnitWords {
    /// The words after the program; `None`: no unit starts the kubelet, so kubeadm's own unit is assumed.
    pub words: Option<Vec<String>>,
    /// The values of all variables, where `words` is not known, and the files of variables that units name.
    pub values: Vec<String>,
    /// The places that are not read, and why.
    pub unread: Vec<String>,
}

/// The section `[Service]` of a unit with its drop-ins.
#[derive(Debug, Default)]
struct Service {
    variables: BTreeMap<String, String>,
    /// Where the file is named, its path, and whether it may be missing.
    files: Vec<(String, String)>,
    /// Where it stands, and the command.
    start: Option<(String, String)>,
}

/// Reads the units.
pub fn read(root: &Root) -> UnitWords {
    let mut service = Service::default();
    let unit = DIRECTORIES.iter().map(|directory| format!("{directory}/{UNIT}"));
    for path in unit.filter(|path| matches!(root.stat(path), Ok(Some(_)))).take(1) {
        service.add(root, &path);
    }
    let mut drop_ins = BTreeMap::new();
    for directory in DIRECTORIES.iter().rev().map(|directory| format!("{directory}/{UNIT}.d")) {
        for name in root.list(&directory).ok().flatten().unwrap_or_default() {
            if name.ends_with(".conf") {
                drop_ins.insert(name.clone(), format!("{directory}/{name}"));
            }
        }
    }
    for path in drop_ins.values() {
        service.add(root, path);
    }
    service.words(root)
}

impl Service {
    /// Adds what a file says. One that is missing or is no text says nothing.
    fn add(&mut self, root: &Root, path: &str) {
        let text = root.text(path).ok().flatten().map(|file| file.text).unwrap_or_default();
        let mut section = String::new();
        for (position, line) in logical_lines(&text) {
            if line.starts_with('[') {
                section = line;
                continue;
            }
            let Some((key, value)) = line.split_once('=').filter(|_| section == "[Service]") else { continue };
            let value = value.trim();
            let place = format!("{path}:{position}");
            match (key.trim(), value) {
                ("Environment", "") => self.variables.clear(),
                ("Environment", _) => {
                    let pairs = split_words(value).into_iter();
                    self.variables.extend(
                        pairs.filter_map(|pair| pair.split_once('=').map(|(a, b)| (a.to_owned(), b.to_owned()))),
                    );
                }
                ("EnvironmentFile", "") => self.files.clear(),
                ("EnvironmentFile", _) => self.files.push((place, value.trim_start_matches('-').to_owned())),
                ("ExecStart", "") => self.start = None,
                ("ExecStart", _) => self.start = Some((place, value.to_owned())),
                _ => {}
            }
        }
    }

    /// The words with which the service starts the kubelet.
    fn words(mut self, root: &Root) -> UnitWords {
        let mut found = UnitWords::default();
        let unread = |place: &str, why: &str| {
            format!(
                "{place}: {why}, so this program does not know the kubelet's flags of this place; if they name another \
                 directory of static pods, set manifest.path to the API server's manifest"
            )
        };
        for (place, path) in self.files.iter().take(MAX_FILES) {
            if path.contains(['*', '?', '[', '%']) {
                found.unread.push(unread(place, "the name of a file of variables has a pattern"));
                continue;
            }
            let text = root.text(path).ok().flatten().map(|file| file.text).unwrap_or_default();
            for (_, line) in logical_lines(&text) {
                let Some((name, value)) = line.split_once('=') else { continue };
                let value = value.trim();
                let quoted = |quote: char| value.strip_prefix(quote)?.strip_suffix(quote);
                let value = quoted('"').or_else(|| quoted('\'')).unwrap_or(value);
                self.variables.insert(name.trim().to_owned(), value.to_owned());
            }
        }
        let Some((place, command)) = &self.start else {
            found.values = self.variables.into_values().collect();
            return found;
        };
        let words = split_words(command.trim_start_matches(['@', '-', ':', '+', '!', '|']));
        // Another program may hand its words to the kubelet.
        let is_kubelet =
            |word: &String| word.rsplit_once('/').is_some_and(|(_, name)| name.starts_with("kubelet"));
        let Some(start) = words.iter().position(is_kubelet).filter(|_| !words.iter().any(|word| word == "-c"))
        else {
            found.unread.push(unread(place, "another program starts the kubelet"));
            found.values = self.variables.into_values().collect();
            return found;
        };
        if !words.iter().any(|word| word.contains('$')) {
            found.unread.clear();
        }
        found.words = Some(words[start + 1..].iter().flat_map(|word| self.expand(word)).collect());
        found
    }

    /// A word after systemd has put in the variables: `$NAME` alone becomes the words of its value, and `${NAME}` is
    /// replaced inside a word.
    fn expand(&self, word: &str) -> Vec<String> {
        let value = |name: &str| self.variables.get(name).map(String::as_str).unwrap_or_default();
        if let Some(name) = word.strip_prefix('$').filter(|name| !name.starts_with(['{', '$'])) {
            return split_words(value(name));
        }
        let (mut expanded, mut left) = (String::new(), word);
        while let Some((before, after)) = left.split_once("${") {
            let Some((name, rest)) = after.split_once('}') else { break };
            expanded = expanded + before + value(name);
            left = rest;
        }
        vec![expanded + left]
    }
}

/// The lines without comments, with those joined that a backslash continues, and the number of the first of each.
fn logical_lines(text: &str) -> Vec<(usize, String)> {
    let mut lines: Vec<(usize, String)> = Vec::new();
    let mut is_open = false;
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.starts_with(['#', ';']) || line.is_empty() && !is_open {
            continue;
        }
        let (part, continues) = line.strip_suffix('\\').map_or((line, false), |part| (part, true));
        match lines.last_mut().filter(|_| is_open) {
            Some((_, open)) => {
                open.push(' ');
                open.push_str(part);
            }
            None => lines.push((index + 1, part.to_owned())),
        }
        is_open = continues;
    }
    lines
}

/// The words of a line, in which quotes group.
fn split_words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let (mut word, mut quote): (Option<String>, Option<char>) = (None, None);
    for letter in line.chars() {
        match quote {
            Some(open) if letter == open => quote = None,
            None if letter == '"' || letter == '\'' => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            None if letter.is_whitespace() => words.extend(word.take()),
            _ => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use super::super::testing::Node;
    use super::*;

    const UNIT_FILE: &str = "/lib/systemd/system/kubelet.service";
    const KUBEADMS: &str = "/usr/lib/systemd/system/kubelet.service.d/10-kubeadm.conf";

    #[test]
    fn the_kubelets_flags_are_those_that_its_units_give_it() {
        let unit = "[Unit]\nDescription=kubelet\n[Service]\nExecStart=/usr/bin/kubelet\nRestart=always\n";
        let kubeadms = "# kubeadm\n[Service]\nEnvironment=\"KUBELET_CONFIG_ARGS=--config=/var/lib/kubelet/config.yaml\"\n\
                        EnvironmentFile=-/etc/default/kubelet\nExecStart=\nExecStart=/usr/bin/kubelet $KUBELET_CONFIG_ARGS \\\n  \
                        $KUBELET_EXTRA_ARGS\n";
        let usual = "--config=/var/lib/kubelet/config.yaml";
        let own = "/etc/systemd/system/kubelet.service.d/20-own.conf";
        for (file, text, extra, expected) in [
            ("/none", "", "", usual.to_owned()),
            ("/none", "", "KUBELET_EXTRA_ARGS='--a=1 --b=2'\n", format!("{usual} --a=1 --b=2")),
            (own, "[Service]\nEnvironment=KUBELET_EXTRA_ARGS=--c\n", "", format!("{usual} --c")),
            // A file of variables comes after the variables of units.
            (
                own,
                "[Service]\nEnvironment=KUBELET_EXTRA_ARGS=--c\n",
                "KUBELET_EXTRA_ARGS=--d\n",
                format!("{usual} --d"),
            ),
            (
                own,
                "[Service]\nEnvironment='KUBELET_CONFIG_ARGS=--config=/x y' Z=1\n",
                "",
                "--config=/x y".to_owned(),
            ),
            (own, "[Service]\nEnvironmentFile=/etc/my.env\n", "", format!("{usual} --pod-manifest-path=/m")),
            (
                own,
                "[Service]\nExecStart=\nExecStart=-/opt/bin/kubelet --pod-manifest-path=${P}/m --v 2\nEnvironment=P=/p\n",
                "",
                "--pod-manifest-path=/p/m --v 2".to_owned(),
            ),
            (own, "[Unit]\nExecStart=/usr/bin/kubelet --no\n", "", usual.to_owned()),
            (
                own,
                "[Service]\nExecStart=\nExecStart=/usr/bin/numactl -m 0 /usr/bin/kubelet-1.31 --x\n",
                "",
                "--x".to_owned(),
            ),
            // Without a variable, no file of variables matters.
            (
                own,
                "[Service]\nEnvironmentFile=/x/*\nExecStart=\nExecStart=/bin/kubelet --x\n",
                "",
                "--x".to_owned(),
            ),
            // The file of this name in /etc is the one that counts.
            ("/etc/systemd/system/kubelet.service.d/10-kubeadm.conf", "[Service]\n", "", String::new()),
            (
                "/etc/systemd/system/kubelet.service",
                "[Service]\nExecStart=/x/kubelet --no\n",
                "",
                usual.to_owned(),
            ),
        ] {
            let node = Node::with(&[(UNIT_FILE, unit), (KUBEADMS, kubeadms), (file, text)]);
            node.put("/etc/default/kubelet", extra);
            node.put("/etc/my.env", "# mine\nKUBELET_EXTRA_ARGS=\"--pod-manifest-path=/m\"\n");
            let found = read(&node.root);
            let (words, unread) = (found.words.unwrap_or_default().join(" "), found.unread);
            assert_eq!((words, unread), (expected, Vec::new()), "{file}: {text}");
        }
    }

    #[test]
    fn what_is_not_read_of_units_is_told() {
        for (text, values, unread) in [
            ("[Service]\nEnvironment=A=--b\n", "--b", ""),
            ("[Service]\nExecStart=/opt/start.sh kubelet\n", "", ":2: another program starts the kubelet"),
            (
                "[Service]\nEnvironmentFile=/etc/kubelet.d/*.env\nEnvironment=A=--b\n",
                "--b",
                ":2: the name of a file of variables has a pattern",
            ),
        ] {
            let node = Node::with(&[(UNIT_FILE, text)]);
            let found = read(&node.root);
            assert_eq!((found.words, found.values.join(" ")), (None, values.to_owned()), "{text}");
            let expected = format!("{UNIT_FILE}{unread}");
            let told = found.unread.join("");
            assert!(
                told.is_empty() == unread.is_empty() && (unread.is_empty() || told.starts_with(&expected)),
                "{told}"
            );
        }
    }
}
