// A recorder collects dispatches and copies, and submits them as one piece of work.
// Record and submit without waiting in between: activations are reused in the order of submission.

import { DeviceError, ShapeError } from "../errors.ts";
import { Scope } from "./arena.ts";
import type { Device } from "./device.ts";
import type { Kernel, ParamValues } from "./kernel.ts";
import { placesOf, Recording, type Told } from "./replay.ts";
import { byteSize, type DType, elementCount, formatShape, type HostArray, hostDType, type Tensor } from "./tensor.ts";

/** One run of a kernel. */
export interface Dispatch {
  /** In the order of the kernel's bindings: reads, then writes. Absent inputs are `undefined`. */
  bindings: readonly (Tensor | undefined)[];
  params?: ParamValues;
  /** Workgroups on x, y and z. */
  groups: readonly [number, number?, number?];
}

const MAX_BIND_GROUPS = 8192;
const MAX_PARAMS = 16384;
const NO_PARAMS: ParamValues = {};

/** Splits a row of workgroups over x and y, since one axis holds 65,535 at most; kernels flatten it again. */
export function linearGroups(count: number): [number, number] {
  const y = Math.max(1, Math.ceil(count / 65535));
  return [Math.ceil(count / y), y];
}

/** Many dispatches, one submit. */
export class Recorder {
  #encoder: GPUCommandEncoder;
  #pass: GPUComputePassEncoder | undefined;
  /** The pipeline that the pass has. */
  #pipeline: GPUComputePipeline | undefined;
  readonly #offset = new Uint32Array(1);
  #scopes: Scope[] = [];
  /** What is recorded now, while it may be told again. */
  #recording: Recording | undefined;
  #submitted = false;
  #lastOp = "nothing";

  constructor(readonly device: Device) {
    device.errors.throwIfLost();
    this.#encoder = this.#newEncoder();
  }

  #newEncoder(): GPUCommandEncoder {
    return this.device.gpu.createCommandEncoder({ label: "recorder" });
  }

  /** Opens a scope; tensors made until it ends lie in it. */
  scope(): Scope {
    const scope: Scope = new Scope(this.device.arena, () => {
      this.#scopes.splice(this.#scopes.lastIndexOf(scope), 1);
    });
    this.#scopes.push(scope);
    return scope;
  }

  /** Lets a scope that outlives this recorder hold the tensors made from now on. */
  within(scope: Scope): this {
    this.#scopes.push(scope);
    return this;
  }

  /** Does `work` in a scope of its own and moves its result to the scope around it. */
  scoped(work: () => Tensor): Tensor {
    const outer = this.#innermost();
    using scope = this.scope();
    const result = work();
    const storage = scope.release(result);
    return storage ? outer.adopt(storage, result.shape, result.dtype) : result;
  }

  /** Does `work` in a scope of its own, then frees its argument unless the work was done in place. */
  replace(x: Tensor, work: (x: Tensor) => Tensor): Tensor {
    const result = this.scoped(() => work(x));
    if (result.storage !== x.storage) x.dispose();
    return result;
  }

  #innermost(): Scope {
    const scope = this.#scopes.at(-1);
    if (!scope) throw new DeviceError("Cannot make a tensor while recording as a scope must hold it: none is open");
    return scope;
  }

  /** A tensor in the innermost scope, with undefined contents. */
  tensor(shape: readonly number[], dtype: DType = "f32"): Tensor {
    return this.#innermost().tensor(shape, dtype);
  }

  /** A tensor in the innermost scope with these numbers in it. */
  upload(data: HostArray, shape: readonly number[]): Tensor {
    this.#recording = undefined;
    const dtype = hostDType(data);
    if (data.length !== elementCount(shape)) {
      throw new ShapeError(`Cannot upload ${data.length} numbers as ${formatShape(shape)}: the counts differ`);
    }
    // The write happens before this recording runs, and must not hit a buffer that it still uses for something else.
    const storage = this.device.arena.takeIdle(byteSize(data.length, dtype));
    const tensor = this.#innermost().adopt(storage, shape, dtype);
    this.device.write(tensor, data);
    return tensor;
  }

  /** Copies a tensor's contents into another of the same size. */
  copy(from: Tensor, to: Tensor): void {
    if (from.bytes !== to.bytes) throw new ShapeError(`Cannot copy ${from} to ${to} as their bytes must match`);
    this.#recording = undefined;
    this.#endPass();
    for (const { storage } of [from, to]) storage.usedBy = this;
    this.#encoder.copyBufferToBuffer(from.storage.buffer, from.offset, to.storage.buffer, to.offset, to.bytes);
  }

  /** Records one run of a kernel. */
  dispatch(kernel: Kernel, { bindings, params = NO_PARAMS, groups }: Dispatch): void {
    const { device } = this;
    const [x, y = 1, z = 1] = groups;
    if (x === 0 || y === 0 || z === 0) return;
    if (bindings.length !== kernel.bindingCount) {
      throw new DeviceError(
        `Cannot dispatch ${kernel.name} as it binds ${kernel.bindingCount} tensors: got ${bindings.length}`,
      );
    }
    for (const tensor of bindings) if (tensor) tensor.storage.usedBy = this;
    const slot = kernel.hasParams ? device.params.slot(kernel.packParams(params)) : undefined;
    const group = device.bindGroups.of(kernel, bindings, slot?.block);
    const told = { kernel, group, offset: slot?.offset, x, y, z };
    if (this.#recording) {
      this.#recording.told.push(told);
      for (const tensor of bindings) if (tensor) this.#recording.used.add(tensor.storage);
    }
    this.#tell(told);
  }

  #tell({ kernel, group, offset, x, y, z }: Told): void {
    this.#lastOp = kernel.name;
    const timing = this.device.profile?.next(kernel.name);
    if (timing) this.#endPass();
    const pass = this.#pass ??= this.#encoder.beginComputePass({ label: kernel.name, timestampWrites: timing });
    if (this.#pipeline !== kernel.pipeline) pass.setPipeline(this.#pipeline = kernel.pipeline);
    if (offset === undefined) pass.setBindGroup(0, group);
    else {
      this.#offset[0] = offset;
      pass.setBindGroup(0, group, this.#offset, 0, 1);
    }
    pass.dispatchWorkgroups(x, y, z);
    if (timing) this.#endPass();
  }

  /**
   * Does `work` in a scope of its own; or, if it would come to the same dispatches as the last time, tells the GPU of those. It does
   * while all lies where it lay, the memory that it takes included, and no buffer of the device was freed.
   *
   * @param owner Keeps what the work came to, and is used for nothing else: a caption, say.
   * @param tensors What it is handed of memory that others take and give back; it may change it in place.
   * @param traits Whatever else it goes by that may differ from time to time, compared by identity.
   * @param work Dispatches; with copies or uploads among them it is done each time.
   */
  replay(owner: object, tensors: readonly Tensor[], traits: readonly unknown[], work: () => void): void {
    const { arena, bindGroups } = this.device;
    const places = placesOf(traits, tensors);
    const known = bindGroups.replays.get(owner);
    if (known?.holds(arena, places)) {
      for (const storage of known.used) storage.usedBy = this;
      for (const told of known.told) this.#tell(told);
      return;
    }
    const { replays } = bindGroups;
    this.#recording = new Recording();
    {
      using _scope = this.scope();
      work();
    }
    const replay = this.#recording?.finish(arena, places);
    this.#recording = undefined;
    if (replay && replays === bindGroups.replays) replays.set(owner, replay);
  }

  #endPass(): void {
    this.#pass?.end();
    this.#pass = undefined;
    this.#pipeline = undefined;
  }

  /** Whether its work was sent to the GPU. */
  get submitted(): boolean {
    return this.#submitted;
  }

  /** Sends what was recorded so far ahead, so that drivers that limit how long one piece of work may take see several; goes on. */
  flush(): void {
    this.#recording = undefined;
    this.#send();
    this.#encoder = this.#newEncoder();
  }

  #send(): void {
    if (this.#submitted) throw new DeviceError("Cannot submit a recorder as it runs once: it was submitted already");
    this.#endPass();
    const { device } = this;
    device.profile?.resolve(this.#encoder);
    device.params.send();
    device.errors.during(
      `run recorded work that ends with ${this.#lastOp}`,
      () => device.gpu.queue.submit([this.#encoder.finish()]),
    );
  }

  /** Sends all that was recorded to the GPU, and returns without waiting for it. */
  submit(): void {
    this.#send();
    this.#submitted = true;
    const { device } = this;
    if (device.params.count > MAX_PARAMS) {
      device.params.clear();
      device.bindGroups.clear();
    }
    if (device.bindGroups.size > MAX_BIND_GROUPS) device.bindGroups.clear();
  }
}
