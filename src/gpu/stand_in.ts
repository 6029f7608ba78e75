// A stand-in for a GPU device, which takes all calls and does nothing. In: the device that it stands for. Out: what answers like it:
// every call is valid, all work is done at once, and buffers hold zeros.

const nothing = () => {};

function pass() {
  return { setPipeline: nothing, setBindGroup: nothing, dispatchWorkgroups: nothing, end: nothing };
}

function encoder() {
  return { beginComputePass: pass, copyBufferToBuffer: nothing, finish: () => ({}) };
}

function buffer({ size }: GPUBufferDescriptor) {
  return {
    mapAsync: () => Promise.resolve(),
    getMappedRange: () => new ArrayBuffer(size), // memory is taken for what is read back only
    unmap: nothing,
    destroy: nothing,
  };
}

/** A device with the features and limits of another. */
export function standInFor({ features, limits }: GPUDevice): GPUDevice {
  const made = () => ({});
  const standIn = {
    features,
    limits,
    lost: new Promise<never>(nothing),
    queue: { writeBuffer: nothing, submit: nothing, onSubmittedWorkDone: () => Promise.resolve() },
    addEventListener: nothing,
    pushErrorScope: nothing,
    popErrorScope: () => Promise.resolve(null),
    createBuffer: buffer,
    createBindGroupLayout: made,
    createPipelineLayout: made,
    createBindGroup: made,
    createShaderModule: made,
    createComputePipeline: made,
    createCommandEncoder: encoder,
    destroy: nothing,
  };
  return standIn as unknown as GPUDevice;
}
