package main

import (
	"regexp"
	"strings"

	goyaml "sigs.k8s.io/yaml/goyaml.v2"
)

// word is a piece of YAML text: a scalar, an anchor, a tag, a line of a multi-line scalar, or an indicator.
type word struct {
	text      string
	line      int
	column    int
	indicator bool
	quoted    bool
}

// comment is a comment with its number sign, up to the end of the line.
type comment struct {
	text string
	line int
}

var blockHeader = regexp.MustCompile(`^[|>][-+0-9]*[ \t]*(#[^\n]*)?\r?(\n|$)`)

const byteOrderMark = "\ufeff"

// scan splits YAML text into words and comments. It knows quotes, block scalars and flow collections. Each line of a
// plain scalar is one word.
func scan(s string) (words []word, comments []comment) {
	line, lineStart, flow := 0, 0, 0
	parent := -1 // the content of a block scalar must be to the right of this column
	i := len(s) - len(strings.TrimPrefix(s, byteOrderMark))
	add := func(from, to int, indicator bool) {
		words = append(words, word{s[from:to], line, from - lineStart, indicator, false})
	}
	newline := func(at int) { line, lineStart = line+1, at+1 }
	ends := func(at int) bool { return at >= len(s) || strings.IndexByte(" \t\r\n", s[at]) >= 0 }
	// pieces adds a quoted scalar, which may span several lines.
	pieces := func(from, to int) {
		for at := from; at <= to; at++ {
			if at == to || s[at] == '\n' {
				if piece := strings.TrimSpace(s[from:at]); piece != "" {
					first := from + strings.Index(s[from:at], piece)
					add(first, first+len(piece), false)
					words[len(words)-1].quoted = true
				}
				if at < to {
					newline(at)
				}
				from = at + 1
			}
		}
	}
	for i < len(s) {
		c := s[i]
		rest := s[i:]
		atStart := i == lineStart || (line == 0 && strings.TrimSpace(strings.TrimPrefix(s[:i], byteOrderMark)) == "")
		switch {
		case c == '\n':
			newline(i)
			i++
		case c == ' ' || c == '\t' || c == '\r':
			i++
		case c == '#' && (atStart || strings.IndexByte(" \t\n", s[i-1]) >= 0):
			end := endOfLine(s, i)
			comments = append(comments, comment{strings.TrimRight(s[i:end], "\r"), line})
			i = end
		case i == lineStart && (strings.HasPrefix(rest, "---") || strings.HasPrefix(rest, "...")) && ends(i+3):
			add(i, i+3, true)
			i, parent, flow = i+3, -1, 0
		case c == '"' || c == '\'':
			end := i + 1
			for end < len(s) && s[end] != c || c == '\'' && strings.HasPrefix(s[end:], "''") {
				if c == '"' && s[end] == '\\' || s[end] == '\'' {
					end++
				}
				end++
			}
			end = min(end+1, len(s))
			if flow == 0 {
				parent = i - lineStart
			}
			pieces(i, end)
			i = end
		case c == '[' || c == '{':
			add(i, i+1, true)
			i, flow = i+1, flow+1
		case flow > 0 && strings.IndexByte("]},", c) >= 0:
			add(i, i+1, true)
			if i++; c != ',' {
				flow--
			}
		case strings.IndexByte("-?:", c) >= 0 && (ends(i+1) || c == ':' && flow > 0):
			add(i, i+1, true)
			if c != ':' && flow == 0 {
				parent = i - lineStart
			}
			i++
		case flow == 0 && blockHeader.MatchString(rest):
			end := endOfLine(s, i)
			header := strings.TrimRight(strings.SplitN(s[i:end], "#", 2)[0], " \t\r")
			add(i, i+len(header), false)
			if at := strings.IndexByte(s[i:end], '#'); at >= 0 {
				comments = append(comments, comment{strings.TrimRight(s[i+at:end], "\r"), line})
			}
			indent := 0
			if at := strings.IndexAny(header, "123456789"); at >= 0 {
				indent = max(parent, 0) + int(header[at]-'0')
			}
			for end < len(s) {
				newline(end)
				next := endOfLine(s, end+1)
				content := strings.TrimRight(s[end+1:next], "\r")
				column := len(content) - len(strings.TrimLeft(content, " "))
				if strings.Trim(content, " ") != "" {
					if indent == 0 {
						indent = max(column, parent+1, 1)
					}
					if column < indent {
						line, lineStart = line-1, i // this line does not belong to the scalar
						break
					}
					add(end+1+column, end+1+len(content), false)
				}
				end = next
			}
			i = end
		case c == '&' || c == '!' || c == '*' || c == '%' && i == lineStart:
			end := i
			for !ends(end) && !(flow > 0 && strings.IndexByte("]},", s[end]) >= 0) {
				end++
			}
			add(i, end, false)
			i = end
		default:
			end := i
			for end < len(s) && s[end] != '\n' {
				if s[end] == ':' && (ends(end+1) || flow > 0 && strings.IndexByte("[]{},", s[end+1]) >= 0) ||
					flow > 0 && strings.IndexByte("[]{},", s[end]) >= 0 ||
					s[end] == '#' && end > i && strings.IndexByte(" \t", s[end-1]) >= 0 {
					break
				}
				end++
			}
			if flow == 0 {
				parent = i - lineStart
			}
			end = max(end, i+1)
			add(i, i+len(strings.TrimRight(s[i:end], " \t\r")), false)
			i = end
		}
	}
	return words, comments
}

func endOfLine(s string, from int) int {
	if at := strings.IndexByte(s[from:], '\n'); at >= 0 {
		return from + at
	}
	return len(s)
}

func min(a, b int) int {
	if a < b {
		return a
	}
	return b
}

func max(all ...int) int {
	most := all[0]
	for _, one := range all {
		if one > most {
			most = one
		}
	}
	return most
}

// judgeText compares two versions of a file as text: line endings, byte order mark, comments, and lines.
func judgeText(v *verdict, before, after string) {
	if strings.HasPrefix(before, byteOrderMark) != strings.HasPrefix(after, byteOrderMark) {
		v.fault("the byte order mark came or went")
	}
	// A file with mixed line endings keeps the ending of each line. A new line may have either ending.
	crlf, lf := strings.Count(before, "\r\n"), strings.Count(before, "\n")
	newCrlf, newLf := strings.Count(after, "\r\n"), strings.Count(after, "\n")
	if crlf == 0 && newCrlf > 0 || crlf > 0 && crlf == lf && newCrlf != newLf {
		v.fault("the line endings changed")
	}
	oldWords, oldComments := scan(before)
	newWords, newComments := scan(after)
	next := 0
	for _, one := range newComments {
		if next < len(oldComments) && one.text == oldComments[next].text {
			next++
		}
	}
	if next < len(oldComments) {
		v.fault("line %d: the comment %q is gone or moved", oldComments[next].line+1, oldComments[next].text)
	} else if len(newComments) > len(oldComments) {
		v.fault("%d comments were added", len(newComments)-len(oldComments))
	}
	oldLines, newLines := lines(before, oldWords, oldComments), lines(after, newWords, newComments)
	if before != "" && !strings.HasSuffix(before, "\n") {
		// The last line may get its missing line ending.
		ending := "\n"
		if crlf > 0 {
			ending = "\r\n"
		}
		oldLines[len(oldLines)-1].text += ending
		if last := &newLines[len(newLines)-1].text; !strings.HasSuffix(*last, "\n") {
			*last += ending
		}
	}
	for _, hunk := range hunks(oldLines, newLines) {
		v.added += len(hunk[1]) - len(hunk[0])
		if len(hunk[0]) > 0 {
			judgeHunk(v, oldWords, hunk[0], hunk[1])
		}
	}
}

// textLine is a line with its ending, and the words and the comment in it.
type textLine struct {
	text    string
	number  int
	words   []word
	comment string
}

func lines(s string, words []word, comments []comment) []textLine {
	var all []textLine
	for i, one := range strings.SplitAfter(s, "\n") {
		all = append(all, textLine{text: one, number: i})
	}
	for _, one := range words {
		all[one.line].words = append(all[one.line].words, one)
	}
	for _, one := range comments {
		all[one.line].comment = one.text
	}
	if last := len(all) - 1; all[last].text == "" {
		all = all[:last]
	}
	return all
}

// hunks returns the runs of lines that differ, by the longest common subsequence of lines.
func hunks(a, b []textLine) (all [][2][]textLine) {
	keep := common(len(a), len(b), func(i, j int) bool { return a[i].text == b[j].text })
	i, j := 0, 0
	for _, pair := range append(keep, [2]int{len(a), len(b)}) {
		if i < pair[0] || j < pair[1] {
			all = append(all, [2][]textLine{a[i:pair[0]], b[j:pair[1]]})
		}
		i, j = pair[0]+1, pair[1]+1
	}
	return all
}

// common returns the pairs of a longest common subsequence.
func common(n, m int, equal func(i, j int) bool) (pairs [][2]int) {
	lengths := make([][]int32, n+1)
	for i := range lengths {
		lengths[i] = make([]int32, m+1)
	}
	for i := n - 1; i >= 0; i-- {
		for j := m - 1; j >= 0; j-- {
			switch {
			case equal(i, j):
				lengths[i][j] = lengths[i+1][j+1] + 1
			case lengths[i+1][j] >= lengths[i][j+1]:
				lengths[i][j] = lengths[i+1][j]
			default:
				lengths[i][j] = lengths[i][j+1]
			}
		}
	}
	for i, j := 0, 0; i < n && j < m; {
		switch {
		case equal(i, j):
			pairs = append(pairs, [2]int{i, j})
			i, j = i+1, j+1
		case lengths[i+1][j] >= lengths[i][j+1]:
			i++
		default:
			j++
		}
	}
	return pairs
}

var serving = map[string]bool{
	"hostPath": true, "path": true, "type": true, "pathType": true, "readOnly": true, "mountPath": true, "name": true,
	"subPath": true, "value": true, "recursiveReadOnly": true,
}

// judgeHunk checks a run of changed lines. All their words must still be there, in the same order and spelling.
// Exceptions are the value of an expected flag, a field of a volume, and an empty value that was filled. Other
// functions judge the values; this one judges the layout of the rest.
func judgeHunk(v *verdict, all []word, before, after []textLine) {
	var old, edited []word
	for _, one := range before {
		v.changed = append(v.changed, "- "+strings.TrimRight(one.text, "\r\n"))
		old = append(old, scalars(one.words)...)
	}
	for _, one := range after {
		v.changed = append(v.changed, "+ "+strings.TrimRight(one.text, "\r\n"))
		edited = append(edited, scalars(one.words)...)
	}
	kept := map[word]word{}
	for _, pair := range common(len(old), len(edited), func(i, j int) bool { return old[i].text == edited[j].text }) {
		kept[old[pair[0]]] = edited[pair[1]]
	}
	for _, one := range before {
		here := scalars(one.words)
		for _, piece := range here {
			if _, ok := kept[piece]; !ok && !v.mayGo(piece, all, edited) {
				v.fault("line %d: %q is gone", one.number+1, piece.text)
			}
		}
		if len(here) == 0 && len(one.words) == 0 {
			v.fault("line %d: a blank line or a comment is gone or was moved: %q", one.number+1, one.text)
		}
		for _, other := range after {
			if sameWords(one.words, other.words) && one.comment == other.comment {
				v.fault("line %d: only white space changed", one.number+1)
				break
			}
		}
		if len(here) == 0 {
			continue
		}
		if to, ok := kept[here[0]]; ok && !sameStart(one, here[0], after, to) {
			v.fault("line %d: %q was moved, or its indentation changed", one.number+1, here[0].text)
		}
		// A comment must stay on the line of the words beside it.
		stayed := map[int]bool{}
		for _, piece := range here {
			if to, ok := kept[piece]; ok {
				stayed[to.line] = true
			}
		}
		found := one.comment == ""
		for _, other := range after {
			found = found || other.comment == one.comment && (len(stayed) == 0 || stayed[other.number])
		}
		if !found {
			v.fault("line %d: the comment %q left its line", one.number+1, one.comment)
		}
	}
}

func scalars(words []word) (some []word) {
	for _, one := range words {
		if !one.indicator {
			some = append(some, one)
		}
	}
	return some
}

func sameWords(a, b []word) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].text != b[i].text {
			return false
		}
	}
	return true
}

// sameStart returns true if the start of a line, up to its first scalar, is unchanged.
func sameStart(line textLine, first word, after []textLine, to word) bool {
	for _, other := range after {
		if other.number == to.line {
			return strings.TrimRight(line.text[:first.column], " ") == strings.TrimRight(other.text[:to.column], " ")
		}
	}
	return false
}

// mayGo returns true if the edit may replace a word of the original file.
func (v *verdict) mayGo(gone word, all, edited []word) bool {
	if contains([]string{"null", "Null", "NULL", "~"}, gone.text) {
		return true
	}
	// A mount that becomes writable loses this key, or gets it in another run of lines; mayChange judges which mount.
	if gone.text == "recursiveReadOnly" {
		return true
	}
	some := scalars(all)
	at := 0
	for some[at] != gone {
		at++
	}
	isHeader := func(i int) bool { return blockHeader.MatchString(some[i].text) }
	if name := v.writtenFlag(gone.text); name != "" {
		for _, other := range edited {
			if v.writtenFlag(other.text) == name {
				return true
			}
		}
		return false
	}
	if isHeader(at) && at+1 < len(some) && (v.writtenFlag(some[at+1].text) != "" || v.mayGo(some[at+1], all, edited)) {
		return true
	}
	for at--; at >= 0 && isHeader(at); at-- {
	}
	if at < 0 {
		return false
	}
	key := strings.Trim(some[at].text, `"'`)
	return v.writtenFlag(some[at].text) != "" || serving[key] || key == mark
}

// writtenFlag returns the name of the expected flag that a word is or begins with, or "" if there is none. It reads
// escapes in quotes as YAML does.
func (v *verdict) writtenFlag(word string) string {
	var plain string
	if !strings.HasPrefix(word, `"`) || goyaml.Unmarshal([]byte(word), &plain) != nil {
		plain = strings.Trim(word, `"'\`)
	}
	if name := flagName(strings.SplitN(plain, "=", 2)[0]); v.want.isWanted(name) {
		return name
	}
	return ""
}
