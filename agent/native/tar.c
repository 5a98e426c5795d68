/*
 * Reads tar archives: ustar, pax (path, linkpath, size, uid, gid, mtime, SCHILY.xattr.*), GNU long names and base-256
 * numbers. Everything read is hostile: all lengths are checked, checksums must match, extensions are bounded.
 * Sparse files are refused by name (image layers do not hold them). Source: pax(1) of POSIX.1-2017, GNU tar manual
 * "Basic Tar Format"; where they leave a choice, Go's archive/tar, which wrote nearly every layer there is.
 */
#include "helper.h"
#include "layer-source.h"
#include <stdlib.h>
#include <string.h>

enum { BLOCK = 512, SKIP = 256 << 10, EXTENSION_MAX = 1 << 20, NAME_MAX_BYTES = 4095, XATTR_MAX = 64 << 10 };

void tar_open(struct tar *t, struct layer_source *source)
{
	*t = (struct tar){.source = source};
}

/* Makes at least one byte available; false at the end of the input. */
static bool fill(struct tar *t)
{
	if (t->at < t->filled)
		return true;
	t->at = 0;
	t->filled = source_next(t->source, &t->buffer);
	return t->filled > 0;
}

size_t tar_data(struct tar *t, size_t limit, const char **data)
{
	if (!fill(t))
		refuse(EPROTO, "unpack: the archive is cut short");
	size_t n = t->filled - t->at;
	if (n > limit)
		n = limit;
	*data = t->buffer + t->at;
	t->at += n;
	return n;
}

static void skip(struct tar *t, int64_t size)
{
	const char *data;
	while (size > 0)
		size -= (int64_t)tar_data(t, size > SKIP ? SKIP : (size_t)size, &data);
}

void tar_pad(struct tar *t, int64_t size)
{
	skip(t, (BLOCK - size % BLOCK) % BLOCK);
}

/* False at the end of the input; a part of a block is an error. */
static bool read_block(struct tar *t, unsigned char block[BLOCK])
{
	if (!fill(t))
		return false;
	for (size_t done = 0; done < BLOCK;) {
		const char *data;
		size_t n = tar_data(t, BLOCK - done, &data);
		memcpy(block + done, data, n);
		done += n;
	}
	return true;
}

static void set_text(struct bytes *b, const void *data, size_t size)
{
	b->size = 0;
	bytes_append(b, data, size);
	bytes_append(b, "", 1);
	b->size--;
}

static void set_field(struct bytes *b, const unsigned char *field, size_t size)
{
	set_text(b, field, strnlen((const char *)field, size));
}

/* An octal or base-256 field. */
static int64_t number(const unsigned char *p, size_t size, const char *what)
{
	if (p[0] & 0x80) {
		/* Two's complement, big-endian; bit 7 of the first byte marks it. */
		bool negative = (p[0] & 0x40) != 0;
		uint64_t v = negative ? ~0ULL : 0;
		for (size_t i = 0; i < size; i++) {
			unsigned char byte = i ? p[i] : (unsigned char)((p[0] & 0x7f) | (negative ? 0x80 : 0));
			if ((v >> 55) != (negative ? 0x1ffULL : 0))
				refuse(EPROTO, "unpack: %s is out of range", what);
			v = v << 8 | byte;
		}
		return (int64_t)v;
	}
	uint64_t v = 0;
	size_t i = 0;
	while (i < size && (p[i] == ' ' || p[i] == 0))
		i++;
	for (; i < size && p[i] != ' ' && p[i] != 0; i++) {
		if (p[i] < '0' || p[i] > '7')
			refuse(EPROTO, "unpack: %s is not a number", what);
		v = v << 3 | (uint64_t)(p[i] - '0');
	}
	return (int64_t)v;
}

static int64_t decimal(const char *text, size_t size, const char *what)
{
	bool negative = size && *text == '-';
	int64_t v = 0;
	size_t i = negative;
	if (i == size)
		refuse(EPROTO, "unpack: %s is not a number", what);
	for (; i < size; i++) {
		if (text[i] < '0' || text[i] > '9' || v > (INT64_MAX - 9) / 10)
			refuse(EPROTO, "unpack: %s is not a number in range", what);
		v = v * 10 + (text[i] - '0');
	}
	return negative ? -v : v;
}

/* Seconds with a fraction; -1.25 is 2 s before the epoch plus 750 ms. */
static void pax_time(struct tar_entry *e, const char *text, size_t size)
{
	const char *dot = memchr(text, '.', size);
	size_t whole = dot ? (size_t)(dot - text) : size;
	bool negative = size && *text == '-';
	e->mtime = decimal(text, whole, "mtime");
	long ns = 0, unit = 100000000;
	for (size_t i = whole + 1; i < size; i++, unit /= 10) {
		if (text[i] < '0' || text[i] > '9')
			refuse(EPROTO, "unpack: mtime is not a number");
		ns += unit * (text[i] - '0');
	}
	if (negative && ns) {
		e->mtime--;
		ns = 1000000000 - ns;
	}
	e->mtime_ns = ns;
}

static void pax_text(struct bytes *b, const char *key, const char *value, size_t size)
{
	if (memchr(value, 0, size) || size > NAME_MAX_BYTES)
		refuse(EPROTO, "unpack: bad pax %s", key);
	set_text(b, value, size);
}

static void pax_xattr(struct tar_entry *e, const char *name, const char *value, size_t size)
{
	size_t name_size = strlen(name);
	if (!name_size || name_size > 255 || size > XATTR_MAX)
		refuse(EPROTO, "unpack: bad extended attribute");
	if (e->xattrs.size + name_size + size > EXTENSION_MAX)
		refuse(EPROTO, "unpack: an entry with too many extended attributes");
	char n[4];
	put_u32(n, (uint32_t)name_size);
	bytes_append(&e->xattrs, n, 4);
	bytes_append(&e->xattrs, name, name_size + 1);
	put_u32(n, (uint32_t)size);
	bytes_append(&e->xattrs, n, 4);
	bytes_append(&e->xattrs, value, size);
}

static const char XATTR_PREFIX[] = "SCHILY.xattr.";

static void pax_record(struct tar *t, const char *key, const char *value, size_t size)
{
	struct tar_entry *e = &t->entry;
	/* An empty value takes back what the header says nowhere but for xattrs. */
	if (!strcmp(key, "path") && size)
		pax_text(&t->long_name, key, value, size);
	else if (!strcmp(key, "linkpath") && size)
		pax_text(&t->long_link, key, value, size);
	else if (!strcmp(key, "size") && size) {
		e->size = decimal(value, size, "size");
		t->has_size = true;
	} else if (!strcmp(key, "uid") && size)
		e->uid = decimal(value, size, "uid");
	else if (!strcmp(key, "gid") && size)
		e->gid = decimal(value, size, "gid");
	else if (!strcmp(key, "mtime") && size)
		pax_time(e, value, size);
	else if (!strncmp(key, XATTR_PREFIX, sizeof XATTR_PREFIX - 1))
		pax_xattr(e, key + sizeof XATTR_PREFIX - 1, value, size);
	else if (!strncmp(key, "GNU.sparse.", 11))
		refuse(EPROTO, "unpack: sparse files are not supported");
}

/* Records of the form "LENGTH key=value\n". */
static void pax_records(struct tar *t)
{
	char *p = t->extension.data;
	size_t left = t->extension.size;
	while (left) {
		size_t digits = 0, length = 0;
		while (digits < left && digits < 8 && p[digits] >= '0' && p[digits] <= '9')
			length = length * 10 + (size_t)(p[digits++] - '0');
		if (!digits || digits >= left || p[digits] != ' ' || length > left || length < digits + 4 || p[length - 1] != '\n')
			refuse(EPROTO, "unpack: bad pax record");
		char *key = p + digits + 1;
		size_t key_room = length - digits - 2;
		char *equals = memchr(key, '=', key_room);
		if (!equals || equals == key || memchr(key, 0, (size_t)(equals - key)))
			refuse(EPROTO, "unpack: bad pax record");
		*equals = 0;
		pax_record(t, key, equals + 1, (size_t)(p + length - 1 - (equals + 1)));
		p += length;
		left -= length;
	}
}

static void read_extension(struct tar *t, int64_t size)
{
	if (size < 0 || size > EXTENSION_MAX)
		refuse(EPROTO, "unpack: an extension header of %lld bytes", (long long)size);
	t->extension.size = 0;
	for (int64_t left = size; left > 0;) {
		const char *data;
		size_t n = tar_data(t, (size_t)left, &data);
		bytes_append(&t->extension, data, n);
		left -= (int64_t)n;
	}
	tar_pad(t, size);
}

static void gnu_long(struct tar *t, struct bytes *out)
{
	size_t size = t->extension.size ? strnlen(t->extension.data, t->extension.size) : 0;
	if (!size || size > NAME_MAX_BYTES)
		refuse(EPROTO, "unpack: a name of %zu bytes", size);
	set_text(out, t->extension.data, size);
}

static bool checksum_is_right(const unsigned char h[BLOCK])
{
	int64_t expected = number(h + 148, 8, "checksum"), plain = 0, with_sign = 0;
	for (int i = 0; i < BLOCK; i++) {
		unsigned char c = i >= 148 && i < 156 ? ' ' : h[i];
		plain += c;
		with_sign += (signed char)c;
	}
	return expected == plain || expected == with_sign;
}

/* The fields of the header itself; pax records, already applied, win: they are marked by INT64_MIN still being there. */
static void take_header(struct tar *t, const unsigned char h[BLOCK])
{
	struct tar_entry *e = &t->entry;
	bool ustar = !memcmp(h + 257, "ustar\0", 6), gnu = !memcmp(h + 257, "ustar  ", 8);
	e->type = h[156] ? (char)h[156] : '0';
	e->mode = (unsigned)(number(h + 100, 8, "mode") & 07777);
	if (e->uid == INT64_MIN)
		e->uid = number(h + 108, 8, "uid");
	if (e->gid == INT64_MIN)
		e->gid = number(h + 116, 8, "gid");
	if (!t->has_size)
		e->size = number(h + 124, 12, "size");
	if (e->mtime == INT64_MIN)
		e->mtime = number(h + 136, 12, "mtime");
	if (ustar || gnu) {
		e->device_major = number(h + 329, 8, "device");
		e->device_minor = number(h + 337, 8, "device");
	}
	if (t->long_name.size) {
		set_text(&e->name, t->long_name.data, t->long_name.size);
	} else {
		set_field(&e->name, h, 100);
		if (ustar && h[345]) {
			struct bytes whole = {0};
			set_field(&whole, h + 345, 155);
			bytes_append(&whole, "/", 1);
			bytes_append(&whole, e->name.data, e->name.size);
			set_text(&e->name, whole.data, whole.size);
			bytes_free(&whole);
		}
	}
	if (t->long_link.size)
		set_text(&e->link, t->long_link.data, t->long_link.size);
	else
		set_field(&e->link, h + 157, 100);
	if (e->type == '7')
		e->type = '0';
	if (e->type == '0' && e->name.size && e->name.data[e->name.size - 1] == '/')
		e->type = '5';
	if (!strchr("0123456", e->type))
		refuse(EPROTO, "unpack: entry %s has the unsupported type %c", e->name.data, e->type);
	/* As Go does: only files have data. */
	if (e->type != '0')
		e->size = 0;
	if (e->size < 0 || e->size > (int64_t)1 << 50)
		refuse(EPROTO, "unpack: entry %s has a bad size", e->name.data);
}

bool tar_next(struct tar *t)
{
	unsigned char h[BLOCK];
	struct tar_entry *e = &t->entry;
	t->long_name.size = t->long_link.size = e->xattrs.size = 0;
	e->uid = e->gid = e->mtime = INT64_MIN;
	e->mtime_ns = e->device_major = e->device_minor = 0;
	t->has_size = false;
	for (bool extended = false;; extended = true) {
		if (!read_block(t, h)) {
			if (extended)
				refuse(EPROTO, "unpack: the archive is cut short");
			return false;
		}
		static const unsigned char zero[BLOCK];
		if (!memcmp(h, zero, BLOCK)) {
			/* The end; what follows is read to its end so that the writer is not cut off. */
			while (fill(t))
				t->at = t->filled;
			return false;
		}
		if (!checksum_is_right(h))
			refuse(EPROTO, "unpack: a header's checksum is wrong");
		char type = (char)h[156];
		if (type != 'x' && type != 'g' && type != 'L' && type != 'K') {
			take_header(t, h);
			return true;
		}
		read_extension(t, number(h + 124, 12, "size"));
		if (type == 'x')
			pax_records(t);
		else if (type == 'L')
			gnu_long(t, &t->long_name);
		else if (type == 'K')
			gnu_long(t, &t->long_link);
	}
}
