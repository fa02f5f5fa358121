"""The handler: `thumbs.make`."""

from jobd.sdk import Context, handler
from jobd_thumbs import pixels
from jobd_thumbs.args import Made, Thumbnail, ThumbsArgs
from jobd_thumbs.source import open_source, read_picture

_TIMEOUT_S = 600.0


@handler(args=ThumbsArgs, timeout_s=_TIMEOUT_S)
def make_thumbnails(ctx: Context, args: ThumbsArgs) -> Made:
    """Make a thumbnail of a picture in each of the sizes, as artifacts `thumb-SIZE.FORMAT`."""
    sizes = tuple(dict.fromkeys(args.sizes))
    with ctx.step("open"), open_source(ctx, args.source) as file:
        picture = read_picture(file, max_pixels=args.max_pixels, edge=max(sizes))
    made = []
    for index, edge in enumerate(sizes, 1):
        ctx.check_cancelled()
        with ctx.step("resize", index, len(sizes)):
            made.append(_thumbnail(ctx, args, picture, edge))
        ctx.progress(done=index, total=len(sizes))
    return Made(picture.source, made)


def _thumbnail(ctx: Context, args: ThumbsArgs, picture: pixels.Picture, edge: int) -> Thumbnail:
    path = ctx.artifact(f"thumb-{edge}.{args.format}")
    image = pixels.thumbnail(picture, edge)
    pixels.save(image, path, args.format, args.quality)
    return Thumbnail(path.name, image.width, image.height, path.stat().st_size)
