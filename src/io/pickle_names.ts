// Which of Python's names a checkpoint may speak of. In: a module and a name in it. Out: a verdict. Nothing is ever imported or
// called here, so the verdict protects no machine; it keeps files that attack Python's from passing as checkpoints, and tells
// a user who would open such a file elsewhere.

/**
 * What is to be done with a name that has no meaning here: `refused` loudly wherever it stands, or `inert`, a value that is
 * carried along without effect, as trainers leave it beside the weights: `argparse.Namespace`, a NumPy scalar, a path.
 */
export type NameVerdict = "refused" | "inert";

/** Modules that reach beyond the interpreter or into it. Nothing of theirs belongs into a checkpoint. */
const DANGEROUS_MODULES = new Set(
  ("os nt posix sys subprocess commands popen2 shutil socket ssl http urllib requests ftplib smtplib telnetlib webbrowser " +
    "importlib imp runpy pkgutil zipimport code codeop codecs builtins __builtin__ types inspect gc ctypes _ctypes " +
    "cffi pty tty signal resource multiprocessing threading _thread concurrent asyncio _asyncio pickle _pickle cPickle " +
    "cloudpickle dill marshal shelve functools _functools operator _operator itertools timeit profile cProfile pdb bdb trace " +
    "doctest unittest pytest pip setuptools distutils site venv io _io tempfile glob fileinput linecache " +
    "weakref atexit sched select selectors mmap sqlite3 xmlrpc socketserver pydoc ensurepip lib2to3 idlelib").split(
      " ",
    ),
);

/** Names that are as dangerous inside any other module: `torch.serialization.os.system`. */
const DANGEROUS_PARTS = new Set(
  "os nt posix sys subprocess builtins __builtin__ importlib eval exec execfile compile system popen getattr setattr __import__"
    .split(" "),
);

/** What of dangerous modules is plain data. */
const HARMLESS = new Set([
  ...("bool bytes bytearray complex dict float frozenset int list long object range set slice str tuple unicode type"
    .split(" ").flatMap((name) => [`builtins.${name}`, `__builtin__.${name}`])),
  "types.SimpleNamespace",
]);

/** Classes and functions of lower-case names that make plain data. */
const INERT = new Set([
  "collections.deque",
  "copy_reg._reconstructor",
  "copyreg._reconstructor",
  "datetime.date",
  "datetime.datetime",
  "datetime.timedelta",
  "datetime.timezone",
  "numpy.dtype",
  "numpy.ndarray",
  "numpy.core.multiarray._reconstruct",
  "numpy.core.multiarray.scalar",
  "numpy._core.multiarray._reconstruct",
  "numpy._core.multiarray.scalar",
  "torch.device",
  "torch.serialization._get_layout",
]);

/**
 * Judges a name that is not one of torch's own for tensors. Functions are refused, since a checkpoint has nothing to call;
 * classes are inert, which Python's naming tells apart: their names begin with a capital.
 *
 * @example
 * ```ts
 * import { judgeName } from "./pickle_names.ts";
 * console.assert(judgeName("os", "system") === "refused");
 * console.assert(judgeName("argparse", "Namespace") === "inert");
 * ```
 */
export function judgeName(module: string, name: string): NameVerdict {
  const full = `${module}.${name}`;
  if (HARMLESS.has(full) || INERT.has(full)) return "inert";
  const parts = full.split(".");
  if (DANGEROUS_MODULES.has(parts[0]) || parts.some((part) => DANGEROUS_PARTS.has(part))) return "refused";
  // A dtype, a layout or a memory format of torch, which are values and not functions.
  if (
    /^torch\.(q?u?int\d+(x\d)?|b?float\d\w*|bool|complex\d+|half|strided|sparse_\w+|\w+_format|per_\w+)$/.test(full)
  ) {
    return "inert";
  }
  return /^_*[A-Z]\w*$/.test(parts[parts.length - 1]) ? "inert" : "refused";
}
