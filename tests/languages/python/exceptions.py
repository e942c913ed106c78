import traceback, contextlib
class Mine(Exception):
    pass
@contextlib.contextmanager
def guard(name):
    print("in", name)
    try:
        yield
    finally:
        print("out", name)
try:
    with guard("a"), guard("b"):
        try:
            {}["key"]
        except KeyError as e:
            raise Mine("wrapped") from e
except Mine as e:
    print(repr(e), repr(e.__cause__))
for bad in ("1/0", "int('x')", "[][1]", "None.x", "undefined"):
    try:
        eval(bad)
    except Exception as e:
        print(type(e).__name__, e)
