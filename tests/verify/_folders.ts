// Golden folders, and copies of them with something changed.

import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { joinPath } from "../../src/io/byte_source.ts";
import { encodeSafetensors, openSafetensors, type TensorData } from "../../src/io/safetensors.ts";
import type { TensorDType } from "../../src/io/weights.ts";
import { verifyFolder, type VerifyOptions, type VerifyReport } from "../../src/verify/verify.ts";

/** The path of a golden folder. */
export function golden(name: string): string {
  return fileURLToPath(new URL(`../golden/${name}`, import.meta.url));
}

/** What failed in a report, one line a row. */
export function failures({ outputs }: VerifyReport): string {
  return outputs.filter(({ ok }) => !ok)
    .map(({ name, maxAbsError, relativeL2, note }) =>
      `  ${name}: max ${maxAbsError}, relative L2 ${relativeL2} ${note ?? ""}`
    )
    .join("\n");
}

/** Verifies a folder and fails with its failed rows unless it is ok. */
export async function assertVerifies(folder: string, options: VerifyOptions): Promise<VerifyReport> {
  const report = await verifyFolder(folder, options);
  assert.ok(report.ok, `${folder} is not ok:\n${failures(report)}`);
  assert.ok(report.outputs.length > 0);
  for (const { relativeL2 } of report.outputs) assert.ok(relativeL2 <= report.tolerance);
  return report;
}

/** Tensors of a safetensors file, in memory. */
export type Tensors = Record<string, TensorData & { data: Uint8Array<ArrayBuffer> }>;

/** A copy of a folder that deletes itself. */
export class FolderCopy implements Disposable {
  private constructor(readonly path: string) {}

  /** Copies the files of a folder, not its subfolders. */
  static async of(folder: string): Promise<FolderCopy> {
    const path = await Deno.makeTempDir({ prefix: "verify" });
    for await (const { name, isFile } of Deno.readDir(folder)) {
      if (isFile) await Deno.copyFile(joinPath(folder, name), joinPath(path, name));
    }
    return new FolderCopy(path);
  }

  /** Rewrites a safetensors file; `metadata` replaces what it says of itself. */
  async change(file: string, work: (tensors: Tensors) => void, metadata?: Record<string, string>): Promise<void> {
    const path = joinPath(this.path, file);
    const tensors: Tensors = {};
    {
      using source = await openSafetensors(path);
      metadata ??= source.metadata;
      for (const name of source.names()) {
        const { dtype, shape } = source.info(name);
        tensors[name] = { dtype: dtype as TensorDType, shape, data: (await source.read(name)).slice() };
      }
    }
    work(tensors);
    await Deno.writeFile(path, encodeSafetensors(tensors, metadata));
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.path, { recursive: true });
  }
}

/** The elements of an F32 tensor, to be changed in place. */
export function floats({ dtype, data }: Tensors[string]): Float32Array<ArrayBuffer> {
  assert.equal(dtype, "F32");
  return new Float32Array(data.buffer, data.byteOffset, data.byteLength / 4);
}
