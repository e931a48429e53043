// sharp as an expert writes it: it scales while it decodes, once, to the largest; the smaller ones come from there, as
// raw pixels (a clone() would decode the file again). One thread, as there are as many processes as cores.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const require = createRequire(process.env.BENCH_NODE + "/");
const sharp = require("sharp");
sharp.cache(false);
sharp.concurrency(1);
const order = JSON.parse(process.argv[2]);

async function make(picture, folder) {
  let source = sharp(picture).autoOrient();
  for (const one of order.renditions) {
    const { data, info } = await source
      .resize(one.side, one.side, { fit: "inside", withoutEnlargement: true })
      .raw()
      .toBuffer({ resolveWithObject: true });
    const pixels = () => sharp(data, { raw: { width: info.width, height: info.height, channels: info.channels } });
    for (const form of order.forms) {
      await save(pixels(), form, `${folder}/${one.name}`, one.full_chroma);
    }
    source = pixels();
  }
}

function save(pixels, form, stem, fullChroma) {
  if (form === "jpeg") {
    const chromaSubsampling = fullChroma ? "4:4:4" : "4:2:0";
    return pixels.jpeg({ quality: order.jpeg, progressive: true, chromaSubsampling }).toFile(`${stem}.jpg`);
  }
  if (form === "webp") {
    return pixels.webp({ quality: order.webp, effort: order.effort }).toFile(`${stem}.webp`);
  }
  return pixels.png({ compressionLevel: 1 }).toFile(`${stem}.png`);
}

console.log("ready");
for await (const line of createInterface({ input: process.stdin })) {
  const [picture, folder] = line.split("\t");
  try {
    await make(picture, folder);
    console.log("done");
  } catch (error) {
    console.log(`fault ${picture}: ${error.message}`.replaceAll("\n", " "));
  }
}
