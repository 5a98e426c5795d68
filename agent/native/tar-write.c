/*
 * Writes tar archives: ustar, with pax records where ustar has no room and nowhere else; owners have numbers and no names, times
 * are whole seconds. Equal entries give equal bytes. Source: pax(1) of POSIX.1-2017.
 */
#include "tar-write.h"
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>

enum { BLOCK = 512 };
#define OCTAL_7 07777777LL
#define OCTAL_11 077777777777LL

void tar_flush(struct tar_writer *p)
{
	if (p->hashed)
		sha256_add(&p->hash, p->buffer, p->filled);
	if (write_full(p->out, p->buffer, p->filled) < 0)
		fail("pack: write");
	p->bytes += (int64_t)p->filled;
	p->filled = 0;
}

void tar_put(struct tar_writer *p, const void *data, size_t size)
{
	for (const char *from = data; size > 0;) {
		size_t n = TAR_OUT_SIZE - p->filled < size ? TAR_OUT_SIZE - p->filled : size;
		memcpy(p->buffer + p->filled, from, n);
		p->filled += n;
		from += n;
		size -= n;
		if (p->filled == TAR_OUT_SIZE)
			tar_flush(p);
	}
}

void tar_put_padding(struct tar_writer *p, int64_t size)
{
	static const char zeros[BLOCK];
	tar_put(p, zeros, (size_t)((BLOCK - size % BLOCK) % BLOCK));
}

void pax_record(struct bytes *pax, const char *key, const void *value, size_t size)
{
	/* The length counts its own digits. */
	size_t rest = strlen(key) + size + 3, length = rest + 1;
	for (size_t digits = 1; ; digits++) {
		char text[24];
		length = rest + digits;
		if ((size_t)snprintf(text, sizeof text, "%zu", length) == digits)
			break;
	}
	bytes_print(pax, "%zu %s=", length, key);
	bytes_append(pax, value, size);
	bytes_append(pax, "\n", 1);
}

static void pax_number(struct bytes *pax, const char *key, long long value)
{
	char text[24];
	pax_record(pax, key, text, (size_t)snprintf(text, sizeof text, "%lld", value));
}

/* 0 where a pax record holds the number. */
static void octal(char *field, int width, long long value, long long max)
{
	snprintf(field, (size_t)width, "%0*llo", width - 1, value < 0 || value > max ? 0LL : value);
}

static void put_block(struct tar_writer *p, char block[BLOCK])
{
	memcpy(block + 257, "ustar\00000", 8);
	memset(block + 148, ' ', 8);
	unsigned sum = 0;
	for (int i = 0; i < BLOCK; i++)
		sum += (unsigned char)block[i];
	snprintf(block + 148, 8, "%06o", sum);
	block[155] = ' ';
	tar_put(p, block, BLOCK);
}

static void put_pax(struct tar_writer *p, const struct bytes *pax)
{
	char block[BLOCK] = "PaxHeaders.0";
	octal(block + 100, 8, 0644, OCTAL_7);
	octal(block + 108, 8, 0, OCTAL_7);
	octal(block + 116, 8, 0, OCTAL_7);
	octal(block + 124, 12, (long long)pax->size, OCTAL_11);
	octal(block + 136, 12, 0, OCTAL_11);
	block[156] = 'x';
	put_block(p, block);
	tar_put(p, pax->data, pax->size);
	tar_put_padding(p, (int64_t)pax->size);
}

static void put_name(char *field, struct bytes *pax, const char *key, const char *name)
{
	size_t size = strlen(name);
	if (size > 100)
		pax_record(pax, key, name, size);
	memcpy(field, name, size > 100 ? 100 : size);
}

/* `pax` holds the attributes already; it is freed. */
void tar_put_header(struct tar_writer *p, const char *name, char type, const struct stat *s, const char *link, struct bytes *pax)
{
	char block[BLOCK] = {0};
	long long size = type == '0' ? (long long)s->st_size : 0, mtime = s->st_mtim.tv_sec;
	if (p->latest >= 0 && mtime > p->latest)
		mtime = p->latest;
	static char full[2 * PATH_MAX + NAME_MAX + 16];
	snprintf(full, sizeof full, "%s%s", p->prefix, name);
	put_name(block, pax, "path", full);
	if (type == '1') {
		snprintf(full, sizeof full, "%s%s", p->prefix, link);
		link = full;
	}
	put_name(block + 157, pax, "linkpath", link);
	if (size > OCTAL_11)
		pax_number(pax, "size", size);
	if (s->st_uid > OCTAL_7)
		pax_number(pax, "uid", s->st_uid);
	if (s->st_gid > OCTAL_7)
		pax_number(pax, "gid", s->st_gid);
	if (mtime < 0 || mtime > OCTAL_11)
		pax_number(pax, "mtime", mtime);
	octal(block + 100, 8, s->st_mode & 07777, OCTAL_7);
	octal(block + 108, 8, s->st_uid, OCTAL_7);
	octal(block + 116, 8, s->st_gid, OCTAL_7);
	octal(block + 124, 12, size, OCTAL_11);
	octal(block + 136, 12, mtime, OCTAL_11);
	block[156] = type;
	octal(block + 329, 8, type == '3' || type == '4' ? major(s->st_rdev) : 0, OCTAL_7);
	octal(block + 337, 8, type == '3' || type == '4' ? minor(s->st_rdev) : 0, OCTAL_7);
	if (pax->size)
		put_pax(p, pax);
	put_block(p, block);
	bytes_free(pax);
	p->entries++;
}

void tar_end(struct tar_writer *p)
{
	static const char end[2 * BLOCK];
	tar_put(p, end, sizeof end);
	tar_flush(p);
}
