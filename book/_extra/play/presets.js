// Networks to begin with. Published ones are those of zenlib/zennets.py (a test holds them equal), without their gates.
zenlib.PRESETS = [
  {
    name: "small",
    label: "a small one",
    resolution: 32,
    classes: 10,
    text:
      "SuperConvK3BNRELU(3,32,1,1)SuperResK3K3(32,64,2,64,1)SuperResK3K3(64,128,2,128,1)" +
      "SuperConvK1BNRELU(128,256,1,1)",
  },
  {
    name: "resnet-18",
    label: "like ResNet-18",
    resolution: 224,
    classes: 1000,
    text:
      "SuperConvK7BNRELU(3,64,2,1)SuperResK3K3(64,64,2,64,2)SuperResK3K3(64,128,2,128,2)SuperResK3K3(128,256,2,256,2)" +
      "SuperResK3K3(256,512,2,512,2)",
  },
  {
    name: "resnet-50",
    label: "like ResNet-50",
    resolution: 224,
    classes: 1000,
    text:
      "SuperConvK7BNRELU(3,64,2,1)SuperResK1K3K1(64,256,2,64,2)SuperResK1K3K1(256,512,2,128,2)" +
      "SuperResK1K3K1(512,1024,2,256,3)SuperResK1K3K1(1024,2048,2,512,1)",
  },
  {
    name: "zennet-0.5M",
    label: "ZenNet-0.5M",
    resolution: 32,
    classes: 100,
    text:
      "SuperConvK3BNRELU(3,64,1,1)SuperResK1K5K1(64,168,1,16,3)SuperResK1K3K1(168,80,2,32,4)" +
      "SuperResK1K5K1(80,112,2,16,3)SuperResK1K5K1(112,144,1,24,3)SuperResK1K3K1(144,32,2,40,1)" +
      "SuperConvK1BNRELU(32,512,1,1)",
  },
  {
    name: "zennet-1.0M",
    label: "ZenNet-1.0M",
    resolution: 32,
    classes: 100,
    text:
      "SuperConvK3BNRELU(3,88,1,1)SuperResK1K7K1(88,120,1,16,1)SuperResK1K7K1(120,192,2,16,3)" +
      "SuperResK1K5K1(192,224,1,24,4)SuperResK1K5K1(224,96,2,24,2)SuperResK1K3K1(96,168,2,40,3)" +
      "SuperResK1K3K1(168,112,1,48,3)SuperConvK1BNRELU(112,512,1,1)",
  },
  {
    name: "zennet-2.0M",
    label: "ZenNet-2.0M",
    resolution: 32,
    classes: 100,
    text:
      "SuperConvK3BNRELU(3,32,1,1)SuperResK1K5K1(32,120,1,40,1)SuperResK1K5K1(120,176,2,32,3)" +
      "SuperResK1K7K1(176,272,1,24,3)SuperResK1K3K1(272,176,1,56,3)SuperResK1K3K1(176,176,1,64,4)" +
      "SuperResK1K5K1(176,216,2,40,2)SuperResK1K3K1(216,72,2,56,2)SuperConvK1BNRELU(72,512,1,1)",
  },
  {
    name: "zennet-0.1ms",
    label: "ZenNet-0.1ms",
    resolution: 224,
    classes: 1000,
    text:
      "SuperConvK3BNRELU(3,24,2,1)SuperResK3K3(24,32,2,64,1)SuperResK5K5(32,64,2,32,1)SuperResK5K5(64,168,2,96,1)" +
      "SuperResK1K5K1(168,320,1,120,1)SuperResK1K5K1(320,640,2,304,3)SuperResK1K5K1(640,512,1,384,1)" +
      "SuperConvK1BNRELU(512,2384,1,1)",
  },
  {
    name: "zennet-0.2ms",
    label: "ZenNet-0.2ms",
    resolution: 224,
    classes: 1000,
    text:
      "SuperConvK3BNRELU(3,24,2,1)SuperResK1K5K1(24,32,2,32,1)SuperResK1K7K1(32,104,2,64,1)" +
      "SuperResK1K5K1(104,512,2,160,1)SuperResK1K5K1(512,344,1,192,1)SuperResK1K5K1(344,688,2,320,4)" +
      "SuperResK1K5K1(688,680,1,304,3)SuperConvK1BNRELU(680,2552,1,1)",
  },
  {
    name: "zennet-0.3ms",
    label: "ZenNet-0.3ms",
    resolution: 224,
    classes: 1000,
    text:
      "SuperConvK3BNRELU(3,24,2,1)SuperResK1K5K1(24,64,2,32,1)SuperResK1K3K1(64,128,2,128,1)" +
      "SuperResK1K7K1(128,432,2,128,1)SuperResK1K5K1(432,272,1,160,1)SuperResK1K5K1(272,848,2,384,4)" +
      "SuperResK1K5K1(848,848,1,320,3)SuperResK1K5K1(848,456,1,320,3)SuperConvK1BNRELU(456,6704,1,1)",
  },
  {
    name: "zennet-0.5ms",
    label: "ZenNet-0.5ms",
    resolution: 224,
    classes: 1000,
    text:
      "SuperConvK3BNRELU(3,8,2,1)SuperResK1K7K1(8,64,2,32,1)SuperResK1K3K1(64,152,2,128,1)" +
      "SuperResK1K5K1(152,640,2,192,4)SuperResK1K5K1(640,640,1,192,2)SuperResK1K5K1(640,1536,2,384,4)" +
      "SuperResK1K5K1(1536,816,1,384,3)SuperResK1K5K1(816,816,1,384,3)SuperConvK1BNRELU(816,5304,1,1)",
  },
  {
    name: "zennet-0.8ms",
    label: "ZenNet-0.8ms",
    resolution: 224,
    classes: 1000,
    text:
      "SuperConvK3BNRELU(3,16,2,1)SuperResK1K5K1(16,64,2,64,1)SuperResK1K3K1(64,240,2,128,2)" +
      "SuperResK1K7K1(240,640,2,160,3)SuperResK1K7K1(640,768,1,192,4)SuperResK1K5K1(768,1536,2,384,5)" +
      "SuperResK1K5K1(1536,1536,1,384,3)SuperResK1K5K1(1536,2304,1,384,5)SuperConvK1BNRELU(2304,4912,1,1)",
  },
  {
    name: "zennet-1.2ms",
    label: "ZenNet-1.2ms",
    resolution: 224,
    classes: 1000,
    text:
      "SuperConvK3BNRELU(3,32,2,1)SuperResK1K5K1(32,80,2,32,1)SuperResK1K7K1(80,432,2,128,5)" +
      "SuperResK1K7K1(432,640,2,192,3)SuperResK1K7K1(640,1008,1,160,5)SuperResK1K7K1(1008,976,1,160,4)" +
      "SuperResK1K5K1(976,2304,2,384,5)SuperResK1K5K1(2304,2496,1,384,5)SuperConvK1BNRELU(2496,3072,1,1)",
  },
  {
    name: "zennet-400M-SE",
    label: "ZenNet-400M-SE",
    resolution: 224,
    classes: 1000,
    text:
      "SuperConvK3BNRELU(3,16,2,1)SuperResIDWE1K7(16,40,2,40,1)SuperResIDWE1K7(40,64,2,64,1)" +
      "SuperResIDWE4K7(64,96,2,96,5)SuperResIDWE2K7(96,224,2,224,5)SuperConvK1BNRELU(224,2048,1,1)",
  },
  {
    name: "zennet-600M-SE",
    label: "ZenNet-600M-SE",
    resolution: 224,
    classes: 1000,
    text:
      "SuperConvK3BNRELU(3,24,2,1)SuperResIDWE1K7(24,48,2,48,1)SuperResIDWE2K7(48,72,2,72,1)" +
      "SuperResIDWE6K7(72,96,2,88,5)SuperResIDWE4K7(96,192,2,168,5)SuperConvK1BNRELU(192,2048,1,1)",
  },
  {
    name: "zennet-900M-SE",
    label: "ZenNet-900M-SE",
    resolution: 224,
    classes: 1000,
    text:
      "SuperConvK3BNRELU(3,16,2,1)SuperResIDWE1K7(16,48,2,72,1)SuperResIDWE2K7(48,72,2,64,3)" +
      "SuperResIDWE2K7(72,152,2,144,3)SuperResIDWE2K7(152,360,2,352,4)SuperResIDWE4K7(360,288,1,264,3)" +
      "SuperConvK1BNRELU(288,2048,1,1)",
  },
];
