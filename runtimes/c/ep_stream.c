/* Headers and chunks: see ep_stream.h. */
#include "ep_stream.h"

#define EP_MOST_VALUES ((uint64_t)1 << 36)
#define EP_MOST_IN_CHUNK (1u << 24)
#define EP_MOST_CHUNKS (1u << 24)
#define EP_FIXED (8u + EP_STREAM_IDENTITY)
#define EP_LEB 5u /* bytes of a number, at most */
#define EP_MOST_SIZES (EP_LEB * (5u + EP_STREAM_MOST_RANK))
#define EP_CHUNK_HEAD (2u + 2u * EP_LEB + 4u)

/* The CRC-32 of zlib, four bits at a time, from that of what stands before. */
static uint32_t crc32_from(uint32_t crc, const uint8_t *data, uint64_t length) {
  static const uint32_t quarter[16] = {
      0x00000000u, 0x1DB71064u, 0x3B6E20C8u, 0x26D930ACu, 0x76DC4190u, 0x6B6B51F4u, 0x4DB26158u, 0x5005713Cu,
      0xEDB88320u, 0xF00F9344u, 0xD6D6A3E8u, 0xCB61B38Cu, 0x9B64C2B0u, 0x86D3D2D4u, 0xA00AE278u, 0xBDBDF21Cu,
  };
  crc = ~crc;
  for (uint64_t k = 0; k < length; ++k) {
    crc ^= data[k];
    crc = crc >> 4 ^ quarter[crc & 15u];
    crc = crc >> 4 ^ quarter[crc & 15u];
  }
  return ~crc;
}

static void put_word(uint8_t *to, uint32_t word) {
  for (uint32_t k = 0; k < 4u; ++k) {
    to[k] = (uint8_t)(word >> 8u * k);
  }
}

static uint8_t *put_leb(uint8_t *to, uint32_t number) {
  for (; number >= 0x80u; number >>= 7) {
    *to++ = (uint8_t)(number | 0x80u);
  }
  *to++ = (uint8_t)number;
  return to;
}

/* Rows, or columns where there is one row. */
static uint32_t length_of(const ep_stream *stream) { return stream->rows > 1u ? stream->rows : stream->columns; }

uint32_t ep_stream_chunks(const ep_stream *stream) {
  if (stream->kind > EP_STREAM_RECORDING || stream->rate > 255u || stream->rank < 1u ||
      stream->rank > EP_STREAM_MOST_RANK || stream->step == 0u || stream->channels == 0u || stream->rows == 0u ||
      stream->columns == 0u) {
    return 0;
  }
  for (uint32_t k = 0; k < stream->rank; ++k) {
    if (stream->shape[k] == 0u) {
      return 0;
    }
  }
  /* No product overflows, as each factor is looked at first; small processors cannot divide. */
  const uint64_t plane = (uint64_t)stream->rows * stream->columns;
  const ep_stream_extent first = ep_stream_extent_of(stream, 0);
  const uint64_t in_first = (uint64_t)first.rows * first.columns;
  if (stream->channels > EP_MOST_IN_CHUNK || plane > EP_MOST_VALUES || in_first > EP_MOST_IN_CHUNK ||
      plane * stream->channels > EP_MOST_VALUES || in_first * stream->channels > EP_MOST_IN_CHUNK) {
    return 0;
  }
  uint32_t before = 0; /* the last one, bit by bit */
  for (uint32_t bit = EP_MOST_CHUNKS >> 1; bit != 0u; bit >>= 1) {
    before += (uint64_t)(before + bit) * stream->step < length_of(stream) ? bit : 0u;
  }
  return (uint64_t)(before + 1u) * stream->step < length_of(stream) ? 0u : before + 1u;
}

ep_stream_extent ep_stream_extent_of(const ep_stream *stream, uint32_t number) {
  const uint32_t first = number * stream->step, left = length_of(stream) - first;
  const uint32_t size = stream->step < left ? stream->step : left;
  if (stream->rows > 1u) {
    return (ep_stream_extent){first, size, 0, stream->columns};
  }
  return (ep_stream_extent){0, 1, first, size};
}

uint64_t ep_stream_most_bytes(const ep_stream *stream) {
  const uint64_t chunks = ep_stream_chunks(stream);
  if (chunks == 0u) {
    return 0;
  }
  const uint64_t heads = EP_CHUNK_HEAD + ep_coding_most_bytes(0);
  const uint64_t values = (uint64_t)stream->channels * stream->rows * stream->columns;
  return EP_FIXED + EP_MOST_SIZES + 4u + chunks * heads + ep_coding_most_bytes(values);
}

int64_t ep_stream_header(const ep_stream *stream, uint8_t *to, uint64_t bytes) {
  uint8_t sizes[EP_MOST_SIZES], *end = sizes;
  if (ep_stream_chunks(stream) == 0u) {
    return -1;
  }
  const uint32_t first[5] = {stream->channels, stream->rows, stream->columns, stream->step, stream->sampling};
  for (uint32_t k = 0; k < 5u; ++k) {
    end = put_leb(end, first[k]);
  }
  for (uint32_t k = 0; k < stream->rank; ++k) {
    end = put_leb(end, stream->shape[k]);
  }
  const uint32_t length = (uint32_t)(end - sizes);
  if (bytes < EP_FIXED + length + 4u) {
    return -1;
  }
  const uint8_t start[8] = {'E', 'P', 'C', 'S', 1, (uint8_t)stream->kind, (uint8_t)stream->rate, (uint8_t)length};
  for (uint32_t k = 0; k < 8u; ++k) {
    to[k] = start[k];
  }
  for (uint32_t k = 0; k < EP_STREAM_IDENTITY; ++k) {
    to[8u + k] = stream->identity[k];
  }
  for (uint32_t k = 0; k < length; ++k) {
    to[EP_FIXED + k] = sizes[k];
  }
  put_word(to + EP_FIXED + length, crc32_from(0, to, EP_FIXED + length));
  return (int64_t)(EP_FIXED + length + 4u);
}

int64_t ep_stream_chunk(const ep_stream *stream, const ep_coding *coding, uint32_t number, const int16_t *values,
                        void *scratch, uint64_t scratch_bytes, uint8_t *to, uint64_t bytes) {
  if (bytes < EP_CHUNK_HEAD || number >= ep_stream_chunks(stream) ||
      ep_coding_channels(coding) != stream->channels) {
    return -1;
  }
  /* The body is written behind the longest head, then moved to where the head ends. */
  const ep_stream_extent extent = ep_stream_extent_of(stream, number);
  const int64_t length = ep_coding_encode(coding, values, extent.rows, extent.columns, scratch, scratch_bytes,
                                          to + EP_CHUNK_HEAD, bytes - EP_CHUNK_HEAD);
  if (length < 0) {
    return -1;
  }
  to[0] = 0xE5u;
  to[1] = 0xC7u;
  uint8_t *sum = put_leb(put_leb(to + 2, number), (uint32_t)length);
  put_word(sum, crc32_from(crc32_from(0, to + 2, (uint64_t)(sum - to) - 2u), to + EP_CHUNK_HEAD, (uint64_t)length));
  const uint64_t head = (uint64_t)(sum - to) + 4u;
  for (uint64_t k = 0; k < (uint64_t)length; ++k) {
    to[head + k] = to[EP_CHUNK_HEAD + k];
  }
  return (int64_t)head + length;
}
