"""Answers to ``wind`` that know nothing of wind and want its point.

Each gains the point where checks run in the learner's own process: that is its positive control.
"""

# A wrong function, for attacks whose lie stands elsewhere.
WRONG = "def wind_knots(report):\n    return -1\n"

FORGERIES = {
    "equal to everything": """
class Yes:
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    __hash__ = None
def wind_knots(report): return Yes()
""",
    "an int that lies": """
class Yes(int):
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    __hash__ = int.__hash__
def wind_knots(report): return Yes(-1)
""",
    "a str that lies": """
class Yes(str):
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    __hash__ = str.__hash__
def wind_knots(report): return Yes("x")
""",
    "a float that lies": """
class Yes(float):
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    __hash__ = float.__hash__
def wind_knots(report): return Yes(-1)
""",
    "a tuple that lies": """
class Yes(tuple):
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    __hash__ = tuple.__hash__
def wind_knots(report): return Yes()
""",
    "a metaclass that lies": """
class Meta(type):
    def __eq__(cls, other): return True
    def __ne__(cls, other): return False
    __hash__ = type.__hash__
class Yes(metaclass=Meta): pass
def wind_knots(report): return Yes
""",
    "a mock": """
from unittest.mock import ANY
def wind_knots(report): return ANY
""",
    "later cells become pass": WRONG
    + "get_ipython().input_transformers_post.append(lambda lines: ['pass\\n'])\n",
    "earlier input transform": WRONG
    + "get_ipython().input_transformers_cleanup.append(lambda lines: ['pass\\n'])\n",
    "assert nodes removed": WRONG
    + """
import ast
class Drop(ast.NodeTransformer):
    def visit_Assert(self, node): return ast.copy_location(ast.Pass(), node)
get_ipython().ast_transformers.append(Drop())
""",
    "run_code does nothing": WRONG
    + """
from IPython.core.interactiveshell import InteractiveShell
async def nothing(self, *args, **rest): return False
InteractiveShell.run_code = nothing
""",
    "the compiler is replaced": WRONG
    + """
import ast
real = get_ipython().compile.ast_parse
get_ipython().compile.ast_parse = lambda *args, **rest: real("pass")
""",
    "run_cell_async says yes": WRONG
    + """
from IPython.core.interactiveshell import ExecutionResult
async def yes(*args, **rest): return ExecutionResult(None)
get_ipython().run_cell_async = yes
type(get_ipython()).run_cell_async = yes
""",
    "showtraceback says nothing": WRONG
    + """
shell = get_ipython()
type(shell).showtraceback = lambda *args, **rest: None
type(shell)._showtraceback = lambda *args, **rest: None
""",
    "outputs are cleared afterwards": WRONG
    + """
from IPython.display import clear_output
get_ipython().events.register("post_run_cell", lambda result: clear_output())
""",
    "excepthook swallowed": WRONG
    + "get_ipython().set_custom_exc((BaseException,), lambda *args, **rest: None)\n",
    "tests read from In": """
def wind_knots(report):
    import re, sys
    said = re.findall(r"== (-?\\d+|None)", get_ipython().user_ns["In"][-1])
    return eval(said[0]) if said else -1
""",
    "the caller's frame": """
def wind_knots(report):
    import linecache, re, sys
    frame = sys._getframe(1)
    text = "".join(linecache.getlines(frame.f_code.co_filename))
    said = re.findall(r"== (-?\\d+|None)", text)
    return eval(said[0]) if said else -1
""",
    "builtins changed": WRONG
    + """
import builtins
builtins.AssertionError = type("Never", (Exception,), {"__new__": lambda *a: 1 / 0})
import re
real = builtins.compile
def compile_(source, *args, **rest):
    return real(source if not isinstance(source, str) else "pass", *args, **rest)
shell = get_ipython()
shell.run_ast_nodes = None
async def none(*args, **rest): return False
shell.run_ast_nodes = none
""",
    "a string with every answer": """
class Text(str):
    def __eq__(self, other): return True
    def __hash__(self): return 0
def wind_knots(report): return Text("12")
""",
    "an exception hook in the frame": """
import sys
def wind_knots(report):
    frame = sys._getframe(1)
    frame.f_globals["__annotations__"] = {}
    class Yes:
        def __eq__(self, other): return True
    return Yes()
""",
}
