"""`dlc view`: the page is parsed, and held against the program."""

import itertools
import os
import re
import subprocess
import sys
import time
from html.parser import HTMLParser
from pathlib import Path

import pytest

import dlc
from dlc.cli import graph_drawing, main, view, view_graph, view_source
from dlc.cli.dump import Stages
from dlc.cli.graph_drawing import Box, draw
from dlc.cli.tracing import trace_options
from dlc.cli.view import View

ROOT = Path(__file__).parent.parent
PARTS = ("program", "graph", "stages", "source", "kernels", "memory")
VOID = {"meta"}
TAGS = {
    "a", "b", "body", "details", "div", "g", "h1", "h2", "h3", "head", "header", "html", "i",
    "line", "main", "meta", "nav", "p", "path", "pre", "rect", "script", "section", "span",
    "style", "summary", "svg", "table", "tbody", "td", "text", "th", "thead", "title", "tr",
}  # fmt: skip

NET = """
import dlc

def softmax(x: "f32[8,4]"):
    e = dlc.exp(x - dlc.max(x, axis=1, keepdims=True))
    return e / dlc.sum(e, axis=1, keepdims=True)

@dlc.compile(name="layer")
def layer(w: "f32[4,3]", x: "f32[n,4]"):
    return dlc.relu(x @ w) @ dlc.transpose(w)

def control(x: "f32[n,4]", y: "f32[4]"):
    def step(c, row):
        c = dlc.tanh(c + row)
        return c, dlc.sum(c)
    c, sums = dlc.scan(step, y, x)
    while dlc.sum(c) < 10:
        c = c * 2 + 1
    if dlc.max(c) > 3:
        c = c / 3
    return c, dlc.sort(sums)

def chain(x: "f32[16,16]"):
    for _ in range(4):
        x = dlc.softmax(x @ x, axis=0) @ x
    return x

def donates(x: "f32[8]"):
    return dlc.exp(x) + 1
donates = dlc.compile(donates, donate_argnums=(0,))

def attends(q: "f32[2,4,64,16]"):
    return dlc.scaled_dot_product_attention(q, q, q, is_causal=True)

def prints(x: "f32[2]"):
    dlc.debug.print("x is {}", x)
    return x + 1

def same(x: "f32[2]"):
    return x
"""


class Element:
    def __init__(self, tag, attributes, parent):
        self.tag, self.attributes, self.parent = tag, dict(attributes), parent
        self.inside, self.texts = [], []

    def __getitem__(self, name):
        return self.attributes[name]

    def all(self, tag=None, **wanted):
        """The elements inside of this one with these attributes; a class is one of several."""
        for e in self.inside:
            classes = e.attributes.get("class", "").split()
            fits = all(
                v in classes if n == "class_" else e.attributes.get(n) == v
                for n, v in wanted.items()
            )
            if fits and tag in (None, e.tag):
                yield e
            yield from e.all(tag, **wanted)

    def one(self, tag=None, **wanted):
        (found,) = self.all(tag, **wanted)
        return found

    @property
    def text(self):
        return "".join(t if isinstance(t, str) else t.text for t in self.texts)

    @property
    def keys(self):
        return set(self.attributes.get("data-k", "").split())


class Tree(HTMLParser):
    """The page as elements; what is not closed or not known is an error."""

    def __init__(self, text):
        super().__init__()
        self.root = self.at = Element("", (), None)
        self.feed(text)
        self.close()
        assert self.at is self.root

    def handle_starttag(self, tag, attrs):
        assert tag in TAGS, tag
        made = Element(tag, attrs, self.at)
        assert len(made.attributes) == len(attrs)
        assert not any(name.startswith("on") for name, _ in attrs)
        self.at.inside.append(made)
        self.at.texts.append(made)
        if tag not in VOID:
            self.at = made

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag):
        assert self.at.tag == tag
        self.at = self.at.parent

    def handle_data(self, data):
        self.at.texts.append(data)


def checked(text):
    """The page's elements, after what holds for every page is checked."""
    assert text.startswith("<!DOCTYPE html>")
    root = Tree(text).root
    ids = [e["id"] for e in root.all() if "id" in e.attributes]
    assert len(ids) == len(set(ids))
    assert set(PARTS) <= set(ids)
    for e in root.all():
        assert "src" not in e.attributes
        if "href" in e.attributes:
            assert e["href"][0] == "#"
            assert e["href"][1:] in ids
    assert "http" not in text.replace("http://www.w3.org/2000/svg", "")
    assert len(list(root.all("script"))) == 1
    lines = {e["id"] for e in root.one(id="source").all("span") if "id" in e.attributes}
    used = {k for e in root.all() for k in e.keys if re.fullmatch(r"s\d+", k)}
    assert used == lines
    for svg in root.all("svg"):
        check_boxes(svg)
    return root


def rectangle(rect):
    x, y, width, height = (float(rect[n]) for n in ("x", "y", "width", "height"))
    return x, y, x + width, y + height


def check_boxes(svg):
    """No box touches another; lines go down from the bottom of one to the top of another."""
    boxes = {g["id"]: rectangle(g.one("rect")) for g in svg.all("g", class_="box")}
    width, height = float(svg["width"]), float(svg["height"])
    for x0, y0, x1, y1 in boxes.values():
        assert 0 <= x0 < x1 <= width
        assert 0 <= y0 < y1 <= height
    for (ax0, ay0, ax1, ay1), (bx0, by0, bx1, by1) in itertools.combinations(boxes.values(), 2):
        assert ax1 < bx0 or bx1 < ax0 or ay1 < by0 or by1 < ay0
    for path in svg.all("path", class_="edge"):
        start, stop = path["data-edge"].split()
        numbers = [float(n) for n in re.findall(r"-?\d+", path["d"])]
        x0, _, x1, y1 = boxes[start]
        assert x0 < numbers[0] < x1
        assert abs(numbers[1] - y1) <= 1
        x0, y0, x1, _ = boxes[stop]
        assert x0 < numbers[-2] < x1
        assert abs(numbers[-1] - y0) <= 1
        assert boxes[start][3] < y0
        assert path.one("title").text


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "net.py").write_text(NET)
    return tmp_path


@pytest.fixture
def page(folder, capsys):
    """The page that a command line writes."""

    def run(*words):
        capsys.readouterr()
        status = main.main(["view", *map(str, words)])
        out, err = capsys.readouterr()
        assert status == 0, err
        wrote = re.fullmatch(r"wrote (.*)\n", out)
        return checked(Path(wrote[1]).read_text(encoding="utf-8"))

    return run


def stage(root, name):
    return root.one(id="stages").one("details", **{"data-name": name})


def graph(root, name="optimized"):
    return root.one(id="graph").one("details", **{"data-name": name})


def lines_of(root, text):
    """The keys of the lines of the source that have a text."""
    source = root.one(id="source")
    found = [e for e in source.all("span") if text in e.text]
    assert found
    return {key for e in found for key in e.keys}


def test_a_page_has_every_part(page, folder):
    root = page("net.py:softmax")
    assert (folder / "softmax.html").is_file()
    assert root.one("h1").text == "softmax"
    header = root.one(id="program").text
    for what in ("net.py:softmax", dlc.__version__, "O2", "cpu", "isa", "f32[8,4]"):
        assert what in header
    assert [e["data-name"] for e in root.one(id="stages").all("details")] == [
        "traced", "optimized", "kernels", "llvm", "asm",
    ]  # fmt: skip
    assert "func @softmax(%x: f32[8,4])" in stage(root, "traced").text
    assert "fusion(%x)" in stage(root, "optimized").text
    assert "par " in stage(root, "kernels").text
    assert "define void" in stage(root, "llvm").text
    assert "ret" in stage(root, "asm").text
    (row,) = root.one(id="kernels").one("tbody").all("tr")
    call, kernel, extents, operations, moved, slots, source = (c.text for c in row.all("td"))
    assert (call, extents, moved, slots) == ("0", "d0=8, d1=4", "256", "s0 s1")
    assert int(operations) > 32
    assert source == "net.py:5, net.py:6"
    assert kernel in root.one(id="k0").text
    assert "e = dlc.exp(x" in root.one(id="source").text


def test_lines_and_ops_are_linked(page):
    root = page("net.py:softmax")
    first, second = lines_of(root, "e = dlc.exp"), lines_of(root, "return e / dlc.sum")
    assert len(first) == len(second) == 1
    for name in ("traced", "optimized"):
        spans = list(stage(root, name).all("span"))
        for op, keys in (("exp(", first), ("reduce_max(", first), ("div(", second)):
            (found,) = [e for e in spans if f"= {op}" in e.text]
            assert {k for k in found.keys if k[0] == "s"} == keys
    boxes = {g.one("title").text: g for g in graph(root, "traced").all("g", class_="box")}
    (found,) = [g for title, g in boxes.items() if "= exp" in title]
    assert first < found.keys
    (fusion,) = graph(root).all("g", class_="fusion")
    assert first | second < fusion.keys
    assert "from net.py:5" in fusion.one("title").text
    # A box and the line of its op have a key of their own in common.
    (line,) = [e for e in stage(root, "traced").all("span") if "= exp(" in e.text]
    assert found.keys & line.keys - first
    assert first | second < root.one(id="k0").keys
    (code,) = stage(root, "llvm").all("div", **{"data-k": root.one(id="k0")["data-k"]})
    assert "define" in code.text


def test_lines_of_a_graph_are_what_ops_read(page):
    root = page("net.py:layer")
    svg = graph(root, "traced").one("svg")
    names = {g["id"]: g.one("title").text.split(":")[0] for g in svg.all("g", class_="box")}
    drawn = {tuple(names[i] for i in e["data-edge"].split()) for e in svg.all("path")}
    text = stage(root, "traced").text
    read = {
        (x, line[1])
        for line in re.finditer(r"^  (%\w+): .* = \w+\(([^)]*)\)", text, re.MULTILINE)
        for x in re.findall(r"%\w+", line[2])
    }
    assert len(read) >= 5
    assert drawn == read
    (edge,) = [e for e in svg.all("path") if e.one("title").text.startswith("%x:")]
    assert edge.one("title").text == "%x: f32[n,4]"
    assert any("= result" in t.text for t in svg.all("text"))


def test_each_call_has_the_lines_of_its_own_fusion(page):
    """Also where fusions end on the same line, as those of a gradient do."""
    for words in (("net.py:attends",), ("net.py:control",), ("net.py:chain",)):
        root = page(*words, "--grad")
        held = [{k for k in g.keys if k[0] == "s"} for g in graph(root).all("g", class_="box")]
        rows = [
            {k for k in row.keys if k[0] == "s"}
            for row in root.one(id="kernels").one("tbody").all("tr")
            if any(k[0] == "k" for k in row.keys)
        ]
        assert all(row in held for row in rows)
        assert len(rows) > 3


def test_the_program_is_the_one_that_runs(folder):
    for name in ("attends", "control", "donates", "layer"):
        parser = main.Parser()
        view.configure(parser)
        stages = Stages(trace_options(parser.parse([f"net.py:{name}"])), locations=False)
        values = dict.fromkeys(stages.traced.function.symbols, 8)
        assert View(stages, values, "net.py").program == stages.program


def lives(root):
    found = []
    for g in root.one(id="memory").all("g", class_="value"):
        first, last = map(int, g["data-lives"].split())
        low, high = map(int, g["data-bytes"].split())
        found.append((first, last, low, high, rectangle(g.one("rect"))))
    return found


@pytest.mark.parametrize("words", [("net.py:chain",), ("net.py:control", "--grad")])
def test_values_that_live_together_lie_apart(page, words):
    values = lives(page(*words))
    assert len(values) > 2
    for a, b in itertools.combinations(values, 2):
        if a[0] <= b[1] and b[0] <= a[1]:
            assert a[3] <= b[2] or b[3] <= a[2]
        (ax0, ay0, ax1, ay1), (bx0, by0, bx1, by1) = a[4], b[4]
        near = 0.2  # figures are rounded
        assert ax1 <= bx0 + near or bx1 <= ax0 + near or ay1 <= by0 + near or by1 <= ay0 + near
    reused = [(a, b) for a, b in itertools.combinations(values, 2) if a[1] < b[0] and a[2] == b[2]]
    assert reused


def figures(root):
    table = next(root.one(id="memory").all("table"))
    return {r.one("th").text: int(r.one("td").text.replace(",", "")) for r in table.all("tr")}


def test_extents_with_names(page):
    root = page("net.py:layer", "--dim", "n=32", "-o", "page.html")
    assert "n=32" in root.one(id="program").text
    assert "n=32" in root.one(id="kernels").text
    assert "n=32" in root.one(id="memory").text
    f = dlc.compile(lambda w, x: dlc.relu(x @ w) @ dlc.transpose(w))
    found = f.lower("f32[4,3]", "f32[n,4]").memory_analysis(n=32)
    assert figures(root)["peak: all together"] == found["peak"]
    assert figures(root)["least that any plan needs"] == found["least"]
    assert figures(root)["arguments"] == found["arguments"] == 4 * (12 + 128)
    assert "n=8" in page("net.py:layer").one(id="kernels").text


def test_control_flow(page):
    root = page("net.py:control")
    graphs = graph(root)
    titles = [h.text for h in graphs.all("h3")]
    assert [re.sub(r" of %\d+", "", t) for t in titles] == [
        "body scan", "cond while", "body while", "branches[0] switch", "branches[1] switch",
    ]  # fmt: skip
    assert len(list(graphs.all("svg"))) == 6
    opened = [a["href"] for a in graphs.all("a")]
    assert len(opened) == 3
    kernels = root.one(id="kernels").one("tbody").text
    assert "loop, 8 times:" in kernels
    assert re.search(r"while s\d+:", kernels)
    assert re.search(r"case 1 of s\d+:", kernels)
    (line,) = lines_of(root, "c = dlc.tanh")
    assert any(line in g.keys for g in graphs.all("g", class_="fusion"))
    assert any(line in row.keys for row in root.one(id="kernels").all("tr"))
    page("net.py:control", "--grad", "--level", "O0")


def test_donated_memory(page):
    memory = page("net.py:donates").one(id="memory")
    (lane,) = memory.all("g", class_="donated")
    assert "in the memory of s0, argument 0, which is donated" in lane.text
    assert "in the memory of s0" in memory.one("table", class_="slots").text
    memory = page("net.py:softmax").one(id="memory")
    assert not list(memory.all("g", class_="donated"))


def test_programs_of_every_kind(page, folder):
    (folder / "some.ir").write_text("func @none() -> () {\n  return\n}\n")
    root = page("some.ir")
    assert "calls no kernels" in root.one(id="kernels").text
    assert "neither parameters nor ops" in root.one(id="graph").text
    assert "No line of your source" in root.one(id="source").text
    page("net.py:same")
    root = page("net.py:prints")
    assert "there is no code of it" in stage(root, "asm").text
    assert " at 0x" not in root.one(id="stages").text
    dlc.compile(lambda x: dlc.exp(x) + 1).save(folder / "net.dlc", specs=["f32[b]"])
    assert "b=8" in page("net.dlc").one(id="program").text
    root = page("net.py:softmax", "--grad", "--device", "reference")
    assert "gradient of x" in root.one(id="program").text


def test_a_gpu_is_not_needed(page):
    pytest.importorskip("triton")
    root = page("net.py:donates", "--device", "cuda")
    names = [e["data-name"] for e in root.one(id="stages").all("details")]
    assert names[3:6] == ["triton", "ttir", "ptx"]
    assert "tl.load" in stage(root, "triton").text


def test_names_and_source_are_inert(page, folder):
    hostile = "</script><script>alert(1)</script>"
    (folder / "f.ir").write_text(f'func @"{hostile}"(%x: f32[2]) -> (f32[2]) {{\n  return %x\n}}\n')
    root = page("f.ir", "-o", "f.html")
    assert root.one("h1").text == hostile
    file = 'a"><img src=x onerror=alert(1)>&.py'
    (folder / file).write_text(
        "import dlc\n"
        "def f(x):\n"
        f"    return dlc.exp(x)  # {hostile} <!-- ]]> &lt;\n"
        'f.__name__ = f.__qualname__ = "<b onclick=1>"\n'
    )
    root = page(f"{file}:f", "--arg", "f32[2]", "-o", "g.html")
    assert f"# {hostile} <!-- ]]> &lt;" in root.one(id="source").text
    assert file in root.one(id="source").one("h3").text
    assert f"{file}:3" in root.one(id="kernels").text


def test_the_page_is_the_same_in_each_process(folder):
    """Also where a set of names decides, whose order is another one in each process."""
    pages = []
    for seed in ("1", "2"):
        environ = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": seed}
        words = ["view", "net.py:attends", "--grad", "-o", f"{seed}.html"]
        command = [sys.executable, "-m", "dlc", *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environ)
        assert done.returncode == 0, done.stderr
        pages.append((folder / f"{seed}.html").read_text())
    assert pages[0] == pages[1]
    assert str(folder) not in pages[0]


def test_what_is_left_out_is_said(page, monkeypatch):
    monkeypatch.setattr(view_graph, "_BOXES", 5)
    monkeypatch.setattr(view, "_STAGE", 400)
    root = page("net.py:chain")
    said = [p.text for p in root.all("p", class_="left-out")]
    assert any("boxes are left out" in text for text in said)
    for name in ("traced", "optimized", "kernels", "llvm", "asm"):
        text = stage(root, name).one("p", class_="left-out").text
        assert re.match(
            rf"[\d,]+ lines of this stage are left out: `dlc dump --stage {name}`", text
        )
    monkeypatch.setattr(view_source, "_WHOLE", 4)
    monkeypatch.setattr(view_source, "_AROUND", 0)
    source = page("net.py:softmax").one(id="source").text
    assert "4 lines are left out" in source
    assert "e = dlc.exp(x" in source
    assert "def softmax" not in source


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("net.py:softmax", "-o", "nowhere/page.html"), "there is no folder nowhere"),
        (("net.py:softmax", "-o", "net.d"), "could not be written"),
        (("net.py:layer", "--dim", "m=3"), "has no extent 'm'"),
        (("net.py:layer", "--dim", "n"), "'n' is no extent"),
        (("net.py:nothing",), "has no 'nothing'"),
    ],
)
def test_errors(folder, capsys, words, said):
    (folder / "net.d").mkdir()
    assert main.main(["view", *words]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err
    assert "internal error" not in err
    assert not list(folder.glob("*.html"))


def test_the_browser_is_opened(page, monkeypatch, capsys):
    opened = []
    monkeypatch.setattr(view.webbrowser, "open", lambda url: opened.append(url) or True)
    page("net.py:same", "--open")
    assert opened[0].startswith("file:///")
    assert opened[0].endswith("/same.html")
    monkeypatch.setattr(view.webbrowser, "open", lambda _: False)
    assert main.main(["view", "net.py:same", "--open"]) == 0
    assert "open same.html yourself" in capsys.readouterr().err


# The layout.


def drawn(boxes):
    svg = Tree(draw(boxes)).root.one("svg")
    check_boxes(svg)
    return svg


def box(n, *reads):
    return Box(f"b{n}", f"%{n}", (f"%{n} op",), f"%{n}", reads=tuple((r, f"%{r}") for r in reads))


def test_layers_are_not_over_full():
    svg = drawn([box(0), *(box(n, 0) for n in range(1, 36)), box(36, *range(1, 36))])
    rows = {}
    for g in svg.all("g", class_="box"):
        rows.setdefault(g.one("rect")["y"], []).append(g)
    assert max(map(len, rows.values())) == graph_drawing._ACROSS


def test_what_is_far_is_named():
    chain = [box(0), *(box(n, n - 1) for n in range(1, 30))]
    svg = drawn([*chain, box(30, 29, 3), box(31, 30, 28)])
    texts = [[t.text for t in g.all("text")] for g in svg.all("g", class_="box")]
    assert texts[30] == ["%30 op", "↑ %3"]
    assert texts[31] == ["%31 op"]
    edges = {e["data-edge"] for e in svg.all("path")}
    assert "b28 b31" in edges
    assert "b3 b30" not in edges


def test_time_and_size_grow_as_the_graph():
    def figures(count):
        boxes = [box(n, *{max(n - 1, 0), n // 2, n * 7 // 8}) for n in range(1, count)]
        began = time.process_time()
        text = draw([box(0), *boxes])
        return time.process_time() - began, len(text)

    seconds, size = figures(500)
    longer, larger = figures(4000)
    assert larger < 12 * size
    assert longer < 40 * seconds + 0.5
