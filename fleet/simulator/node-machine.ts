/** The machine of a simulated node, as it is reported. */
export const METRICS = { uptimeMs: 1, residentBytes: 1, outboxItems: 0, triggers: [] };
export const INVENTORY = {
  ...{ version: '0', node: '24', platform: 'linux', architecture: 'x64', cores: 2, memoryBytes: 1, simd: 'plain' },
  gpu: { usable: false, detail: 'none' },
};
