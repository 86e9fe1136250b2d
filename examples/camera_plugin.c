/* A camera plug-in for insitud in C: frames straight into a ring in shared memory, commands over a Unix socket (docs/ring.md).
 *
 *   cc -O2 -I Sources/CFrameRing/include examples/camera_plugin.c -o camera-plugin
 *   ./camera-plugin /run/mycamera/port /dev/shm/mycamera-ring
 *   insitud.yaml:  camera: {model: shm, url: /run/mycamera/port}
 *
 * Where it says VENDOR, your camera's library comes in; this one draws a pattern. One client at a time. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "CFrameRing.h"

enum { WIDTH = 256, HEIGHT = 256, SLOTS = 64, PAGE = 4096, LONGEST_LINE = 4096 };

static struct frame_ring_header *ring;
static uint64_t sequence; /* of the next slot */

static volatile sig_atomic_t ending;
static void end(int signal) { (void)signal, ending = 1; }

static int64_t now_ns(clockid_t clock) {
  struct timespec t;
  clock_gettime(clock, &t);
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void die(const char *what, const char *path) {
  fprintf(stderr, "camera-plugin: %s %s: %s\n", what, path, strerror(errno));
  exit(1);
}

/* The layout is CFrameRing.h's; the magic comes last, so that nobody takes an unfinished file for a ring. */
static void make_ring(const char *path) {
  uint64_t bytes = (uint64_t)WIDTH * HEIGHT * 2, stride = PAGE + (bytes + PAGE - 1) / PAGE * PAGE;
  uint64_t size = PAGE + SLOTS * stride;
  unlink(path);
  int file = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0660);
  if (file < 0 || posix_fallocate(file, 0, (off_t)size)) die("cannot make", path);
  ring = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, file, 0);
  if (ring == MAP_FAILED) die("cannot map", path);
  close(file);
  for (uint64_t i = 0; i < SLOTS; i++)
    ((struct frame_ring_slot *)((char *)ring + PAGE + i * stride))->sequence = FRAME_RING_BEING_WRITTEN;
  ring->version = FRAME_RING_VERSION;
  ring->slot_count = SLOTS;
  ring->slot_bytes = bytes;
  ring->slot_stride = stride;
  ring->writer_pid = (uint64_t)getpid();
  __atomic_store_n(&ring->magic, FRAME_RING_MAGIC, __ATOMIC_RELEASE);
}

/* The next slot, or NULL when insitud has not yet read the oldest: then the frame is lost, and said to be. */
static struct frame_ring_slot *reserve(void) {
  if (sequence - __atomic_load_n(&ring->consumed, __ATOMIC_ACQUIRE) >= SLOTS) return NULL;
  struct frame_ring_slot *slot =
      (struct frame_ring_slot *)((char *)ring + PAGE + sequence % SLOTS * ring->slot_stride);
  __atomic_store_n(&slot->sequence, FRAME_RING_BEING_WRITTEN, __ATOMIC_RELAXED);
  __atomic_thread_fence(__ATOMIC_RELEASE);
  return slot;
}

static void publish(struct frame_ring_slot *slot) {
  slot->arrival_ns = now_ns(CLOCK_MONOTONIC_RAW);
  __atomic_store_n(&slot->sequence, sequence, __ATOMIC_RELEASE);
  __atomic_store_n(&ring->published, ++sequence, __ATOMIC_RELEASE);
  syscall(SYS_futex, (uint32_t *)&ring->published, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

/* What is not frame data is zeroed: nothing of an earlier frame stays. */
static void describe(struct frame_ring_slot *slot, uint64_t series, uint64_t number) {
  memset((char *)slot + sizeof slot->sequence, 0, 96 - sizeof slot->sequence);
  slot->series = series;
  slot->frame_number = number;
  slot->step = UINT32_MAX;
  slot->pixel_type = FRAME_RING_U16;
}

static struct { int running; uint64_t series, number, lost; int64_t period, exposure, next; } run;

static void expose(void) {
  struct frame_ring_slot *slot = reserve();
  if (!slot) {
    run.lost++;
    __atomic_store_n(&ring->refused, ring->refused + 1, __ATOMIC_RELAXED);
  } else {
    describe(slot, run.series, run.number);
    slot->refused_before = run.lost, run.lost = 0;
    slot->device_time_ns = run.next; /* VENDOR: start of the exposure on the camera's own clock */
    slot->exposure_ns = run.exposure;
    slot->width = WIDTH, slot->height = HEIGHT, slot->bytes = WIDTH * HEIGHT * 2;
    uint16_t *pixels = (uint16_t *)((char *)slot + PAGE); /* VENDOR: let the library write here */
    for (uint32_t i = 0; i < WIDTH * HEIGHT; i++) pixels[i] = (uint16_t)(run.number + i);
    publish(slot);
  }
  run.number++;
  run.next += run.period;
}

/* insitud waits for this marker: it closes the account of the series. */
static void end_series(void) {
  struct frame_ring_slot *slot;
  for (int tries = 0; !(slot = reserve()) && tries < 2000; tries++) usleep(1000);
  if (slot) {
    describe(slot, run.series, run.number);
    slot->flags = FRAME_RING_FLAG_SERIES_END;
    publish(slot);
  }
  run.running = 0;
}

/* A whole number behind "key": in a line of JSON; -1 when it is not there. */
static int64_t number(const char *line, const char *key) {
  const char *at = strstr(line, key);
  long long value = -1;
  return at && sscanf(at + strlen(key), "\" : %lld", &value) == 1 ? value : -1;
}

static void answer(int client, const char *line, const char *path) {
  char text[1024];
  if (!strcmp(line, "IDENTIFY")) {
    snprintf(text, sizeof text,
             "OK {\"model\":\"example plug-in\",\"serial\":\"0\",\"clock\":\"CLOCK_MONOTONIC, start of exposure\","
             "\"width\":%d,\"height\":%d,\"pixel\":\"<u2\",\"ring\":\"%s\"}\n", WIDTH, HEIGHT, path);
  } else if (!strcmp(line, "TIME")) {
    snprintf(text, sizeof text, "OK {\"device_ns\":%lld}\n", (long long)now_ns(CLOCK_MONOTONIC));
  } else if (!strncmp(line, "START ", 6)) {
    int64_t series = number(line, "series"), period = number(line, "period_ns"), exposure = number(line, "exposure_ns");
    if (run.running) {
      snprintf(text, sizeof text, "ERR a series is running; send STOP first\n");
    } else if (series < 0 || period < 100000 || exposure <= 0 || exposure > period) {
      snprintf(text, sizeof text, "ERR START needs series, period_ns (at least 100000), exposure_ns (at most period_ns)\n");
    } else {
      run.running = 1, run.series = (uint64_t)series, run.number = run.lost = 0;
      run.period = period, run.exposure = exposure, run.next = now_ns(CLOCK_MONOTONIC);
      snprintf(text, sizeof text, "OK {\"series\":%lld}\n", (long long)series);
    }
  } else if (!strcmp(line, "STOP")) {
    if (run.running) {
      snprintf(text, sizeof text, "OK {\"series\":%llu,\"triggered\":%llu}\n", (unsigned long long)run.series,
               (unsigned long long)run.number);
      end_series();
    } else {
      snprintf(text, sizeof text, "ERR no series is running; send START first\n");
    }
  } else {
    snprintf(text, sizeof text, "ERR unknown request; known: IDENTIFY, START, STOP, TIME\n");
  }
  if (write(client, text, strlen(text)) < 0) perror("camera-plugin: answering");
}

/* Until the client goes: exposures when they are due, requests in between. */
static void serve(int client, const char *path) {
  char line[LONGEST_LINE];
  size_t count = 0;
  while (!ending) {
    int64_t left = run.running ? run.next + run.exposure - now_ns(CLOCK_MONOTONIC) : 200000000;
    if (left <= 0) {
      expose();
      continue;
    }
    struct pollfd wait = {.fd = client, .events = POLLIN};
    struct timespec span = {.tv_sec = left / 1000000000, .tv_nsec = left % 1000000000};
    if (ppoll(&wait, 1, &span, NULL) <= 0) continue;
    ssize_t got = read(client, line + count, sizeof line - 1 - count);
    if (got <= 0) break;
    count += (size_t)got;
    for (char *newline; (newline = memchr(line, '\n', count));) {
      *newline = 0;
      answer(client, line, path);
      count -= (size_t)(newline + 1 - line);
      memmove(line, newline + 1, count);
    }
    if (count == sizeof line - 1) break; /* no line at all */
  }
  if (run.running) end_series();
  close(client);
}

int main(int argc, char **argv) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (argc != 3 || strlen(argv[1]) >= sizeof address.sun_path || strlen(argv[2]) > 200) {
    fprintf(stderr, "usage: camera-plugin SOCKET RING   (a path below /run, a file below /dev/shm)\n");
    return 64;
  }
  /* Whoever starts this may have blocked signals, and that is inherited. */
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  struct sigaction action = {.sa_handler = end};
  sigaction(SIGTERM, &action, NULL);
  sigaction(SIGINT, &action, NULL);
  signal(SIGPIPE, SIG_IGN);
  strcpy(address.sun_path, argv[1]);
  int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  unlink(argv[1]);
  if (listener < 0 || bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 4))
    die("cannot listen at", argv[1]);
  chmod(argv[1], 0660);
  make_ring(argv[2]);
  while (!ending) {
    struct pollfd wait = {.fd = listener, .events = POLLIN};
    if (poll(&wait, 1, 200) <= 0) continue;
    int client = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (client >= 0) serve(client, argv[2]);
  }
  unlink(argv[1]);
  unlink(argv[2]);
  return 0;
}
