"""Tagged sentences from CoNLL-U and from columns: what is read, what is left out, what is refused."""

from __future__ import annotations

import dataclasses
import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recurra.data.readers.conll import Layout, filled, read_conll
from recurra.errors import DataError

CONLLU = """# sent_id = 1
# text = 바다가보인다 .
1-2\t바다가\t_\t_\t_\t_\t_\t_\t_\t_
1\t바다\t바다\tNOUN\tNNG\t_\t3\tnsubj\t_\t_
2\t가\t가\tADP\tJKS\t_\t1\tcase\t_\t_
2.1\t또\t_\t_\t_\t_\t_\t_\t_\t_
3\tNew York\tNew York\t_\tNNP\t_\t0\troot\t_\tSpaceAfter=No

# sent_id = 2
1\t_\t_\tPUNCT\tSF\t_\t0\troot\t_\t_
"""


@pytest.fixture
def file(tmp_path):
    def write(text: str | bytes, name: str = "a.txt", encoding: str = "utf-8"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode(encoding))
        return path

    return write


def test_conllu(file):
    found = read_conll(file(CONLLU, "a.conllu"))
    assert found.words == [["바다", "가", "New York"], ["_"]]
    assert found.tags == [["NOUN", "ADP", None], ["PUNCT"]]
    assert found.lines == [[4, 5, 7], [10]]
    assert found.where(1) == "a.conllu, line 10"
    assert "2 sentences, 4 words, CoNLL-U, UTF-8, tags in column 4 (UPOS)" in found.summary
    assert "1 word without a tag" in found.summary


def test_conllu_is_recognised_by_its_content_and_other_columns_can_be_asked_for(file):
    path = file(CONLLU)
    assert read_conll(path, "xpos").tags == [["NNG", "JKS", "NNP"], ["SF"]]
    assert read_conll(path, "5").tags == [["NNG", "JKS", "NNP"], ["SF"]]
    found = read_conll(path, "DEPREL", "lemma")
    assert (found.words[0], found.tags[0]) == (["바다", "가", "New York"], ["nsubj", "case", "root"])


def test_conllu_plus_names_its_columns(file):
    found = read_conll(file("# global.columns = ID FORM UPOS NE\n1\ta\tX\tB-P\n2\tb\tY\tO\n"), "ne")
    assert (found.words, found.tags) == ([["a", "b"]], [["B-P", "O"]])


@pytest.mark.parametrize("between", [" ", "\t", "   "])
def test_columns(file, between):
    rows = "-DOCSTART- -X- O O\n\nEU NNP I-NP B-ORG\n. . O O\n\n\n# # O O\nrejects VBZ I-VP _\n"
    found = read_conll(file(rows.replace(" ", between)))
    assert found.words == [["EU", "."], ["#", "rejects"]]
    assert found.tags == [["B-ORG", "O"], ["O", None]]
    assert read_conll(file(rows.replace(" ", between)), "2").tags[1] == ["#", "VBZ"]


def test_comments_and_odd_words_in_columns(file):
    tabs = "## klue-ner-v1_1\t<경찰:OG> 조사\n경\tB-OG\n \tO\n#\tO\n\n# one column\n찰\tI-OG\n"
    assert read_conll(file(tabs)).words == [["경", " ", "#"], ["찰"]]
    spaces = "# id 5 domain=en\nbit\u3000ter O\r\n# O\r\n\r\n# O\nx\x85\xa0y O\n"
    assert read_conll(file(spaces), encoding="utf-8").words == [["bit\u3000ter", "#"], ["#", "x\x85\xa0y"]]


def test_header_and_delimiter(file):
    path = file("word,tag\nthe,DET\nsea,NOUN\n")
    found = read_conll(path, "tag", "word", delimiter=",", header=True)
    assert (found.words, found.tags) == ([["the", "sea"]], [["DET", "NOUN"]])


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp949", "utf-16"])
@pytest.mark.parametrize("packed", [False, True])
def test_encodings(file, encoding, packed):
    text = "바다가 NOUN\r\n보인다 VERB\r\n\r\n그렇다 ADJ\r\n".encode(encoding)
    found = read_conll(file(gzip.compress(text) if packed else text, "a.txt.gz" if packed else "a.txt"))
    assert found.words == [["바다가", "보인다"], ["그렇다"]]
    assert found.tags == [["NOUN", "VERB"], ["ADJ"]]


@pytest.mark.parametrize(
    ("text", "arguments", "message"),
    [
        ("1\ta\ta\tX\tX\t_\t0\tr\t_\t_\n2\tb\tX\n", {}, "line 2: 3 columns where CoNLL-U has 10"),
        ("1\ta\ta\tX\tX\t_\t0\tr\t_\t_\nb\tb\ta\tX\tX\t_\t0\tr\t_\t_\n", {}, r'line 2, column 1 \(ID\): "b"'),
        ("1\ta\ta\tX\tX\t_\t0\tr\t_\t_\n" * 2, {}, "line 2, column 1 .* no blank line"),
        ("1\t\ta\tX\tX\t_\t0\tr\t_\t_\n", {}, r"line 1, column 2 \(FORM\): no word"),
        ("1\ta\ta\tX\tX\t_\t0\tr\t_\t_\n", {"target": "upso"}, 'no column "upso", did you mean "upos"'),
        ("1\ta\ta\tX\tX\t_\t0\tr\t_\t_\n", {"target": "form"}, "cannot both be in column 2"),
        ("a X\nb\n", {}, "line 2: 1 column where the first has 2"),
        ("a X\nb X Y\n", {}, "line 2: 3 columns where the first has 2"),
        ("a\tX\n\tX\n", {}, "line 2, column 1: no word"),
        ("a X\n", {"target": "3"}, 'no column "3".*\n.*no names; a number from 1 to 2'),
        ("a\nb\n", {}, "one column only"),
        ("\n\n", {}, "is empty"),
        ("# only\n# comments\n", {}, "is empty"),
        ("a X\n\0", {}, "NUL"),
    ],
)
def test_what_is_malformed_is_named(file, text, arguments, message):
    with pytest.raises(DataError, match=message):
        read_conll(file(text), **arguments)


def test_files_that_are_not_there(tmp_path):
    with pytest.raises(DataError, match="no file"):
        read_conll(tmp_path / "no.conllu")
    with pytest.raises(DataError, match="is a folder"):
        read_conll(tmp_path)


def test_bad_sentences_can_be_left_out(file):
    found = read_conll(file("a X\nb\n\nc Y\n"), skip_bad_rows=True)
    assert (found.words, found.tags) == ([["c"]], [["Y"]])
    assert "1 bad sentence left out" in found.summary
    with pytest.raises(DataError, match="no sentence"):
        read_conll(file("a X\nb\n"), skip_bad_rows=True)


def test_words_alone_are_enough_where_no_tags_are_asked_for(file):
    found = read_conll(file("a\nb\n\nc\n"), tagged=False)
    assert (found.words, found.tags) == ([["a", "b"], ["c"]], None)
    assert "".join(filled(found, [["X", "Y"], ["Z"]])) == "a X\nb Y\n\nc Z\n"


def test_files_are_filled_in(file):
    path = file(CONLLU.replace("\n", "\r\n"), "a.conllu")
    found = read_conll(path, tagged=False)
    text = "".join(filled(found, [["A", "B", "C"], ["D"]]))
    assert read_conll(file(text, "b.conllu")).tags == [["A", "B", "C"], ["D"]]
    with path.open(encoding="utf-8", newline="") as original:
        assert "".join(filled(found, [["NOUN", "ADP", "_"], ["PUNCT"]])) == original.read()


words = st.text(st.characters(blacklist_categories=["Cs", "Cc", "Z"]), min_size=1, max_size=6)


@given(
    st.lists(st.lists(st.tuples(words, st.sampled_from(["X", "B-Y"])), min_size=1, max_size=4), min_size=1, max_size=4)
)
def test_what_is_written_is_read(tmp_path_factory, sentences):
    path = tmp_path_factory.getbasetemp() / "written.tsv"
    rows = ["".join(f"{word}\t{tag}\n" for word, tag in sentence) for sentence in sentences]
    path.write_text("\n".join(rows), encoding="utf-8", newline="")
    found = read_conll(path, encoding="utf-8")
    assert [list(zip(w, t, strict=True)) for w, t in zip(found.words, found.tags or [], strict=True)] == sentences


def test_lines_are_split_by_the_layout():
    assert Layout("utf-8", 2, "\t").split("a b\tc") == ["a b", "c"]
    assert Layout("utf-8", 2, None).split(" a  b\t c\t") == ["a", "b", "c"]
    assert Layout("utf-8", 2, None).title(0) == "column 1"
    assert Layout("utf-8", 2, None, ("x", "y")).title(1) == "column 2 (y)"
    found = Layout("utf-8", 2, None)
    assert (found.conllu, found.header, found.word, found.target, found.names) == (False, False, 0, None, ())


@pytest.mark.parametrize(
    ("text", "columns", "conllu"),
    [
        ("1\ta\ta\tX\tX\t_\t0\tr\t_\t_\n", 10, True),
        ("1-2\ta\ta\tX\tX\t_\t0\tr\t_\t_\n" + "1\ta\ta\tX\tX\t_\t0\tr\t_\t_\n", 10, True),
        ("1.1\ta\ta\tX\tX\t_\t0\tr\t_\t_\n" + "1\ta\ta\tX\tX\t_\t0\tr\t_\t_\n", 10, True),
        ("0\ta\ta\tX\tX\t_\t0\tr\t_\t_\n", 10, True),
        ("01\ta\ta\tX\tX\t_\t0\tr\t_\t_\n", 10, False),
        ("1\ta\ta\tX\tX\t_\t0\tr\t_\n", 9, False),
        ("x\ta\ta\tX\tX\t_\t0\tr\t_\t_\n", 10, False),
        ("a\tX\n", 2, False),
        ("a X Y\n", 3, False),
        ("#tag\tX\n", 2, False),
        ("# comment\n#tag\tX\n", 2, False),
    ],
)
def test_the_format_is_that_of_the_first_line_of_data(file, text, columns, conllu):
    layout = read_conll(file(text), tagged=False).layout
    assert (layout.columns, layout.conllu, layout.delimiter) == (columns, conllu, None if " X" in text else "\t")


def test_words_and_tags_by_number_or_name(file):
    path = file("w,x,y\na,1,2\nb,3,4\n")
    options = {"delimiter": ",", "header": True}
    assert read_conll(path, "y", **options).tags == [["2", "4"]]
    assert read_conll(path, "X", **options).tags == [["1", "3"]]
    assert read_conll(path, "1", "3", **options).words == [["2", "4"]]
    assert read_conll(path, None, **options).tags == [["2", "4"]]
    for number in ("0", "4", "-1"):
        with pytest.raises(DataError, match=f'has no column "{number}"'):
            read_conll(path, number, **options)
    assert read_conll(path, "zzz", tagged=False, **options).layout.target is None
    assert read_conll(path, "w", tagged=False, **options).layout.target is None
    assert read_conll(path, "x", tagged=False, **options).layout.target == 1


def test_comments_end_with_the_first_word(file):
    found = read_conll(file("# c d e\n## x y\na X\n# Y\n\n# one two three\nb Z\n"))
    assert found.words == [["a", "#"], ["b"]]
    conllu = "1\ta\ta\tX\tX\t_\t0\tr\t_\t_\n#\n2\tb\tb\tY\tY\t_\t0\tr\t_\t_\n"
    with pytest.raises(DataError, match="line 2: 1 column where CoNLL-U has 10"):
        read_conll(file(conllu))


def test_missing_tags_are_counted_and_left_out(file):
    found = read_conll(file("a\tX\nb\t\n\nc\t_\n\nd\tY\n"))
    assert found.tags == [["X", None], [None], ["Y"]]
    assert "2 words without a tag" in found.summary
    assert found.lines == [[1, 2], [4], [6]]
    assert "2 bad sentences" in read_conll(file("a X\nb\n\nc\n\nd Y\n"), skip_bad_rows=True).summary
    assert found.summary.startswith("a.txt: 3 sentences, 4 words, 2 columns, UTF-8, tags in column 2\n")


def test_columns_are_added_or_filled(file):
    path = file("a X 1\n\nb Y 2")
    found = read_conll(path, "2", tagged=False)
    assert "".join(filled(found, [["P"], ["Q"]])) == "a P 1\n\nb Q 2"
    words = read_conll(file("a\r\nb\r\n"), tagged=False)
    assert "".join(filled(words, [["P", "Q"]])) == "a P\r\nb Q\r\n"


@pytest.mark.parametrize("value", [Layout("utf-8", 2, None)], ids=lambda value: type(value).__name__)
def test_layouts_do_not_change(value):
    field = dataclasses.fields(value)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(value, field, None)
