#define _GNU_SOURCE
#include "CIntakeProbe.h"

#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif

static __thread struct {
  int counts;
  int within; /* libzmq, or something that is not counted as ours */
  struct intake_counts outside, inside;
} here;

static struct intake_counts outside, inside;

enum { PLACES = 6, DEPTH = 24 };
static struct { const char *what; void *frames[DEPTH]; int depth; } places[PLACES];
static int noted;

void intake_begin(void) {
  memset(&here, 0, sizeof here);
  here.counts = 1;
}

void intake_end(void) {
  here.counts = 0;
  outside = here.outside;
  inside = here.inside;
}

void intake_line(void) {
  if (here.counts > 0) here.outside.lines++;
}

void intake_pause(void) { here.counts--; }
void intake_resume(void) { here.counts++; }

void intake_result(struct intake_counts *out, struct intake_counts *in) {
  *out = outside;
  *in = inside;
}

void intake_print_places(void) {
  for (int i = 0; i < noted; i++) {
    fprintf(stderr, "%s\n", places[i].what);
    backtrace_symbols_fd(places[i].frames, places[i].depth, 2);
  }
}

#ifdef SANITIZED

int intake_can_count(void) { return 0; }

#else

int intake_can_count(void) { return 1; }

static void note(size_t field, const char *what, int isFault) {
  if (here.counts <= 0) return;
  struct intake_counts *counts = here.within ? &here.inside : &here.outside;
  ++*(uint64_t *)((char *)counts + field);
  if (here.within || !isFault || noted >= PLACES) return;
  here.counts = 0;
  places[noted].what = what;
  places[noted].depth = backtrace(places[noted].frames, DEPTH);
  noted++;
  here.counts = 1;
}
#define NOTE(FIELD, FAULT) note(offsetof(struct intake_counts, FIELD), __func__, FAULT)

/* Memory: glibc's own names for what is passed on (malloc(3) may be replaced, and then these are still there). */
extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);
extern void __libc_free(void *);

void *malloc(size_t count) {
  NOTE(allocations, 1);
  return __libc_malloc(count);
}
void *calloc(size_t count, size_t size) {
  NOTE(allocations, 1);
  return __libc_calloc(count, size);
}
void *realloc(void *old, size_t count) {
  NOTE(allocations, 1);
  return __libc_realloc(old, count);
}
void *memalign(size_t alignment, size_t count) {
  NOTE(allocations, 1);
  return __libc_memalign(alignment, count);
}
void *aligned_alloc(size_t alignment, size_t count) {
  NOTE(allocations, 1);
  return __libc_memalign(alignment, count);
}
int posix_memalign(void **place, size_t alignment, size_t count) {
  NOTE(allocations, 1);
  void *made = __libc_memalign(alignment, count);
  if (!made) return ENOMEM;
  *place = made;
  return 0;
}
void free(void *old) {
  if (old) NOTE(frees, 1);
  __libc_free(old);
}

/* The function behind ours. Found where it is first called: constructors of libraries run before ours. */
#define BEHIND(RESULT, NAME, ...)                                                                                     \
  typedef RESULT (*type_##NAME)(__VA_ARGS__);                                                                         \
  static type_##NAME real_##NAME(void) {                                                                              \
    static type_##NAME found;                                                                                         \
    if (!found) *(void **)&found = dlsym(RTLD_NEXT, #NAME);                                                           \
    return found;                                                                                                     \
  }

#define LOCK(NAME, TYPE)                                                                                              \
  BEHIND(int, NAME, TYPE *)                                                                                           \
  int NAME(TYPE *lock) {                                                                                              \
    NOTE(locks, 1);                                                                                                   \
    return real_##NAME()(lock);                                                                                       \
  }
LOCK(pthread_mutex_lock, pthread_mutex_t)
LOCK(pthread_mutex_trylock, pthread_mutex_t)
LOCK(pthread_rwlock_rdlock, pthread_rwlock_t)
LOCK(pthread_rwlock_wrlock, pthread_rwlock_t)
LOCK(pthread_cond_signal, pthread_cond_t)
LOCK(pthread_cond_broadcast, pthread_cond_t)

BEHIND(int, pthread_cond_wait, pthread_cond_t *, pthread_mutex_t *)
int pthread_cond_wait(pthread_cond_t *condition, pthread_mutex_t *mutex) {
  NOTE(locks, 1);
  return real_pthread_cond_wait()(condition, mutex);
}
BEHIND(int, pthread_cond_timedwait, pthread_cond_t *, pthread_mutex_t *, const struct timespec *)
int pthread_cond_timedwait(pthread_cond_t *condition, pthread_mutex_t *mutex, const struct timespec *end) {
  NOTE(locks, 1);
  return real_pthread_cond_timedwait()(condition, mutex, end);
}

/* System calls. */
#define CALL(FIELD, FAULT, RESULT, NAME, PARAMETERS, ARGUMENTS, ...)                                                  \
  BEHIND(RESULT, NAME, __VA_ARGS__)                                                                                   \
  RESULT NAME PARAMETERS {                                                                                            \
    NOTE(FIELD, FAULT);                                                                                               \
    return real_##NAME() ARGUMENTS;                                                                                     \
  }
CALL(receives, 0, ssize_t, recv, (int fd, void *b, size_t n, int f), (fd, b, n, f), int, void *, size_t, int)
CALL(receives, 0, ssize_t, recvfrom, (int fd, void *b, size_t n, int f, struct sockaddr *a, socklen_t *l),
     (fd, b, n, f, a, l), int, void *, size_t, int, struct sockaddr *, socklen_t *)
CALL(receives, 0, ssize_t, recvmsg, (int fd, struct msghdr *m, int f), (fd, m, f), int, struct msghdr *, int)
CALL(receives, 0, ssize_t, read, (int fd, void *b, size_t n), (fd, b, n), int, void *, size_t)
CALL(receives, 0, ssize_t, pread, (int fd, void *b, size_t n, off_t o), (fd, b, n, o), int, void *, size_t, off_t)
CALL(receives, 0, ssize_t, pread64, (int fd, void *b, size_t n, off_t o), (fd, b, n, o), int, void *, size_t, off_t)
CALL(receives, 0, ssize_t, readv, (int fd, const struct iovec *v, int n), (fd, v, n), int, const struct iovec *, int)
CALL(receives, 0, int, poll, (struct pollfd *p, nfds_t n, int t), (p, n, t), struct pollfd *, nfds_t, int)
CALL(receives, 0, int, ppoll, (struct pollfd *p, nfds_t n, const struct timespec *t, const sigset_t *s), (p, n, t, s),
     struct pollfd *, nfds_t, const struct timespec *, const sigset_t *)
CALL(receives, 0, int, epoll_wait, (int fd, struct epoll_event *e, int n, int t), (fd, e, n, t), int,
     struct epoll_event *, int, int)
CALL(receives, 0, int, nanosleep, (const struct timespec *t, struct timespec *r), (t, r), const struct timespec *,
     struct timespec *)
CALL(receives, 0, int, clock_nanosleep, (clockid_t c, int f, const struct timespec *t, struct timespec *r),
     (c, f, t, r), clockid_t, int, const struct timespec *, struct timespec *)
CALL(requests, 1, ssize_t, send, (int fd, const void *b, size_t n, int f), (fd, b, n, f), int, const void *, size_t, int)
CALL(requests, 1, ssize_t, sendto,
     (int fd, const void *b, size_t n, int f, const struct sockaddr *a, socklen_t l), (fd, b, n, f, a, l), int,
     const void *, size_t, int, const struct sockaddr *, socklen_t)
CALL(requests, 1, ssize_t, sendmsg, (int fd, const struct msghdr *m, int f), (fd, m, f), int, const struct msghdr *, int)
CALL(foreign, 1, ssize_t, pwrite, (int fd, const void *b, size_t n, off_t o), (fd, b, n, o), int, const void *, size_t,
     off_t)
CALL(foreign, 1, ssize_t, writev, (int fd, const struct iovec *v, int n), (fd, v, n), int, const struct iovec *, int)
CALL(foreign, 1, int, access, (const char *p, int m), (p, m), const char *, int)
CALL(foreign, 1, int, fsync, (int fd), (fd), int)
CALL(foreign, 1, int, close, (int fd), (fd), int)
CALL(foreign, 1, int, sched_yield, (void), (), void)
CALL(foreign, 1, int, usleep, (useconds_t t), (t), useconds_t)
CALL(foreign, 1, void *, mmap, (void *a, size_t n, int p, int f, int fd, off_t o), (a, n, p, f, fd, o), void *, size_t,
     int, int, int, off_t)
CALL(foreign, 1, int, munmap, (void *a, size_t n), (a, n), void *, size_t)
CALL(foreign, 1, int, madvise, (void *a, size_t n, int h), (a, n, h), void *, size_t, int)
CALL(foreign, 1, int, mprotect, (void *a, size_t n, int p), (a, n, p), void *, size_t, int)

BEHIND(ssize_t, write, int, const void *, size_t)
ssize_t write(int fd, const void *bytes, size_t count) {
  if (fd == 1 || fd == 2) NOTE(lines, 1);
  NOTE(foreign, 1);
  return real_write()(fd, bytes, count);
}

BEHIND(long, syscall, long, long, long, long, long, long, long)
long syscall(long number, ...) {
  va_list all;
  va_start(all, number);
  long a[6];
  for (int i = 0; i < 6; i++) a[i] = va_arg(all, long);
  va_end(all);
  if (number == SYS_futex && (a[1] & FUTEX_CMD_MASK) == FUTEX_WAIT) {
    NOTE(receives, 0);
  } else {
    NOTE(foreign, 1);
  }
  return real_syscall()(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

BEHIND(int, ioctl, int, unsigned long, void *)
int ioctl(int fd, unsigned long request, ...) {
  va_list all;
  va_start(all, request);
  void *argument = va_arg(all, void *);
  va_end(all);
  NOTE(foreign, 1);
  return real_ioctl()(fd, request, argument);
}

/* What libzmq does within these is its receive. */
#define WITHIN(NAME, PARAMETERS, ARGUMENTS, ...)                                                                      \
  BEHIND(int, NAME, __VA_ARGS__)                                                                                      \
  int NAME PARAMETERS {                                                                                               \
    here.within++;                                                                                                    \
    int result = real_##NAME() ARGUMENTS;                                                                               \
    here.within--;                                                                                                    \
    return result;                                                                                                    \
  }
WITHIN(zmq_poll, (void *items, int count, long patience), (items, count, patience), void *, int, long)
WITHIN(zmq_msg_recv, (void *message, void *socket, int flags), (message, socket, flags), void *, void *, int)
WITHIN(zmq_msg_close, (void *message), (message), void *)

/* The first backtrace loads a library: before anything is counted. */
__attribute__((constructor)) static void warm(void) {
  void *frames[2];
  backtrace(frames, 2);
}

#endif
