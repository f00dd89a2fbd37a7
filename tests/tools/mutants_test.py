"""What tools/mutants.py takes for an operator, and what it leaves alone."""
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))
import mutants  # noqa: E402


def changes(text):
    return [(m.line, m.old, m.new) for m in mutants.mutants_of("src/x.cc", text)]


class MutantsTest(unittest.TestCase):
    def test_each_kind(self):
        self.assertEqual(changes("if (a < b && !c) break;\n"),
                         [(1, "<", "<="), (1, "<", ">="), (1, "&&", "||"), (1, "!", ""), (1, "break", "continue")])
        self.assertEqual(changes("x = a == 10u;\n"), [(1, "==", "!="), (1, "10u", "11u"), (1, "10u", "9u")])
        self.assertEqual(changes("x = 0x1F;\n"), [(1, "0x1F", "32"), (1, "0x1F", "30")])
        self.assertEqual(changes("x = y + z - w;\n++i;\nreturn true;\n"),
                         [(1, "+", "-"), (1, "-", "+"), (2, "++", "--"), (3, "true", "false")])
        self.assertEqual(changes("x = 0;\n"), [(1, "0", "1")])

    def test_what_is_no_operator_of_values(self):
        for text in ("std::vector<int> x;\n", "template <class T>\n", "void f(T&& x);\n", "x = -y;\n", "p->q;\n", "x = 1.5e-3f;\n",
                     "// a < b\n", "/* a < b\n && c */\n", 'x = "a < b";\n', 'x = R"(a < "b" && c)";\n', "x = '<';\n", "x <<= y;\n",
                     "#if A < B && \\\n    C < D\n", "static_assert(sizeof(T) == 4 && (x < y));\n", "bool operator==(X);\n",
                     's = "a" + name;\n'):
            self.assertEqual(changes(text), [], text)
        self.assertEqual(changes("static_assert(f(1) == 2);\nx = y != z;\n"), [(2, "!=", "==")])

    def test_a_mutant_changes_its_own_place(self):
        text = "int f() {\n  return a <= b;  // <=\n}\n"
        [first, second] = mutants.mutants_of("src/x.cc", text)
        self.assertEqual(first.apply(text), text.replace("a <= b", "a < b"))
        self.assertEqual(second.describe(), "src/x.cc:2: '<=' -> '>' in: return a <= b;  // <=")


if __name__ == "__main__":
    unittest.main()
