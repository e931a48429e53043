"""The endpoint that the ticket complains of: it reads the file and makes the renditions inside the request."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from uuid import uuid4

import uvicorn
from fastapi import FastAPI, UploadFile
from PIL import Image

FOLDER = Path(sys.argv[2])
SIDES = (1024, 512, 128)
app = FastAPI()


@app.post("/upload")
def upload(file: UploadFile) -> dict[str, object]:
    """Answer when all renditions are made."""
    data = file.file.read()
    made = []
    for side in SIDES:
        image = Image.open(io.BytesIO(data))
        scale = side / max(image.size)
        small = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.LANCZOS)
        path = FOLDER / uuid4().hex
        small.save(path.with_suffix(".jpg"), quality=82, progressive=True)
        small.save(path.with_suffix(".webp"), quality=80, method=2)
        made.append(path.name)
    return {"files": made}


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning", access_log=False)
