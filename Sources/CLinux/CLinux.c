#include "CLinux.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

int clinux_o_direct(void) { return O_DIRECT; }

void clinux_name_thread(const char *name) {
  char kept[16];
  strncpy(kept, name, 15);
  kept[15] = 0;
  pthread_setname_np(pthread_self(), kept);
}

int clinux_usable_processor(int index) {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) != 0) return -1;
  for (int processor = 0; processor < CPU_SETSIZE; ++processor) {
    if (CPU_ISSET(processor, &set) && index-- == 0) return processor;
  }
  return -1;
}

int clinux_pin_thread(int processor) {
  if (processor < 0 || processor >= CPU_SETSIZE) return EINVAL;
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(processor, &set);
  return pthread_setaffinity_np(pthread_self(), sizeof set, &set);
}

int64_t clinux_process_cpu_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static _Thread_local void *thread_clock;
void *clinux_thread_clock(void) { return thread_clock; }
void clinux_set_thread_clock(void *clock) { thread_clock = clock; }

static _Thread_local void *thread_pulse;
void *clinux_thread_pulse(void) { return thread_pulse; }
void clinux_set_thread_pulse(void *pulse) { thread_pulse = pulse; }

int clinux_eventfd(void) { return eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC); }

int clinux_signalfd(const int *signals, int count) {
  sigset_t set;
  sigemptyset(&set);
  for (int i = 0; i < count; i++) sigaddset(&set, signals[i]);
  if (pthread_sigmask(SIG_BLOCK, &set, NULL) != 0) return -1;
  return signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
}

int clinux_next_signal(int fd) {
  struct signalfd_siginfo info;
  ssize_t n = read(fd, &info, sizeof info);
  return n == (ssize_t)sizeof info ? (int)info.ssi_signo : 0;
}

int clinux_sleep_until_monotonic(int64_t ns) {
  struct timespec t = {.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};
  return clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
}

int clinux_peer(int fd, int *pid, int *uid) {
  struct ucred who;
  socklen_t size = sizeof who;
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &size) != 0) return -1;
  *pid = who.pid;
  *uid = (int)who.uid;
  return 0;
}

int clinux_accept(int fd) { return accept4(fd, NULL, NULL, SOCK_CLOEXEC); }

int clinux_reserve(int fd, int64_t offset, int64_t length) {
  return fallocate(fd, FALLOC_FL_KEEP_SIZE, offset, length);
}

int64_t clinux_free_bytes(const char *path) {
  struct statvfs v;
  if (statvfs(path, &v) != 0) return -1;
  return (int64_t)v.f_bavail * (int64_t)v.f_frsize;
}

ssize_t clinux_write_parts(int fd, const struct iovec *parts, int count, int64_t offset) {
  return pwritev(fd, parts, count, offset);
}

int clinux_use_cache(int fd) {
  int flags = fcntl(fd, F_GETFL);
  return flags < 0 ? -1 : fcntl(fd, F_SETFL, flags & ~O_DIRECT);
}

void clinux_work_in_background(void) {
  // Linux keeps it for each thread (sched(7)).
  struct sched_param none = {.sched_priority = 0};
  sched_setscheduler(0, SCHED_BATCH, &none);
}
