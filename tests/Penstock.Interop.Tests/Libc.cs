using System.Globalization;
using System.Runtime.InteropServices;

namespace Penstock.Interop.Tests;

/// <summary>What the tests ask of the system themselves, so that they do not lean on the code under test.</summary>
internal static unsafe partial class Libc
{
    public const int SIGUSR2 = 12;
    private const int F_GETFD = 1;
    private const int F_SETFL = 4;
    private const int FD_CLOEXEC = 1;
    private const int O_WRONLY = 1;
    private const int O_PATH = 0x200000;
    private const int O_CLOEXEC = 0x80000;
    private const int MSG_DONTWAIT = 0x40;
    private const int MSG_NOSIGNAL = 0x4000;
    private const int SOL_SOCKET = 1;
    private const int SO_SNDBUF = 7;
    private const int SCM_RIGHTS = 1;
    private const int RLIMIT_NOFILE = 7;
    private const int AF_UNIX = 1;
    private const int NonBlockingStream = 1 | 0x800 | 0x80000;

    public static (OwnedDescriptor Read, OwnedDescriptor Write) Pipe()
    {
        int* ends = stackalloc int[2];
        Check(pipe2(ends, O_CLOEXEC));
        return (new OwnedDescriptor(ends[0]), new OwnedDescriptor(ends[1]));
    }

    public static OwnedDescriptor BlockingEvent(uint counter) => new(Check(eventfd(counter, O_CLOEXEC)));

    public static void SetSendBuffer(int socket, int bytes) => Check(setsockopt(socket, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(int)));

    public static void MakeBlocking(int descriptor) => Check(fcntl(descriptor, F_SETFL, 0));

    public static OwnedDescriptor OpenForWriting(string path) => new(Check(open(path, O_WRONLY | O_CLOEXEC)));

    public static OwnedDescriptor OpenPathOnly(string path) => new(Check(open(path, O_PATH | O_CLOEXEC)));

    public static bool IsCloseOnExec(int descriptor) => (Check(fcntl(descriptor, F_GETFD, 0)) & FD_CLOEXEC) != 0;

    public static bool IsOpen(int descriptor) => fcntl(descriptor, F_GETFD, 0) >= 0;

    public static void Truncate(int descriptor, long length) => Check(ftruncate(descriptor, length));

    public static int ThreadId() => gettid();

    public static void Signal(int thread, int signal) => Check(tgkill(Environment.ProcessId, thread, signal));

    /// <summary>Waits until a thread of this process sleeps in the kernel.</summary>
    public static void WaitUntilAsleep(int thread)
    {
        bool Asleep()
        {
            string stat = File.ReadAllText(string.Create(CultureInfo.InvariantCulture, $"/proc/self/task/{thread}/stat"));
            return stat[stat.LastIndexOf(')') + 2] == 'S';
        }

        Assert.True(SpinWait.SpinUntil(Asleep, TimeSpan.FromMinutes(1)), "the thread never slept");
    }

    /// <summary>Lets a signal interrupt system calls: a handler that does nothing, without SA_RESTART.</summary>
    public static void CatchSignal(int signal)
    {
        // struct sigaction of the C library: the handler, 128 bytes of mask, flags. Any function that is safe in a handler will do.
        nint* action = stackalloc nint[32];
        new Span<nint>(action, 32).Clear();
        action[0] = NativeLibrary.GetExport(NativeLibrary.Load("libc.so.6"), "getpid");
        Check(sigaction(signal, action, null));
    }

    /// <summary>poll(2) on nothing, without a retry. Returns errno; 0 when the time was up.</summary>
    public static Errno RawPoll(int milliseconds) => poll(null, 0, milliseconds) < 0 ? (Errno)Marshal.GetLastPInvokeError() : Errno.None;

    public static ulong DescriptorLimit
    {
        get
        {
            ulong* limit = stackalloc ulong[2];
            Check(getrlimit(RLIMIT_NOFILE, limit));
            return limit[0];
        }

        set
        {
            ulong* limit = stackalloc ulong[2];
            Check(getrlimit(RLIMIT_NOFILE, limit));
            limit[0] = value;
            Check(setrlimit(RLIMIT_NOFILE, limit));
        }
    }

    /// <summary>Connects without waiting. Null when the listener's queue is full.</summary>
    public static OwnedDescriptor? TryConnect(string path)
    {
        var descriptor = new OwnedDescriptor(Check(socket(AF_UNIX, NonBlockingStream, 0)));
        byte* address = stackalloc byte[110];
        new Span<byte>(address, 110).Clear();
        *(ushort*)address = AF_UNIX;
        System.Text.Encoding.UTF8.GetBytes(path, new Span<byte>(address + 2, 107));
        if (connect(descriptor.Value, address, 110) == 0)
        {
            return descriptor;
        }

        Assert.Equal(Errno.EAGAIN, (Errno)Marshal.GetLastPInvokeError());
        descriptor.Dispose();
        return null;
    }

    /// <summary>One sendmsg(2) that does not wait.</summary>
    /// <returns>Bytes that the kernel took; 0 when there is no room.</returns>
    public static int SendNow(int socket, ReadOnlySpan<byte> bytes, ReadOnlySpan<int> descriptors)
    {
        ulong* control = stackalloc ulong[2 + ((descriptors.Length + 1) / 2)];
        control[0] = 16 + ((ulong)descriptors.Length * 4);
        ((int*)control)[2] = SOL_SOCKET;
        ((int*)control)[3] = SCM_RIGHTS;
        descriptors.CopyTo(new Span<int>(control + 2, descriptors.Length));
        fixed (byte* start = bytes)
        {
            nint* vector = stackalloc nint[2] { (nint)start, bytes.Length };
            nint* header = stackalloc nint[7];
            new Span<nint>(header, 7).Clear();
            header[2] = (nint)vector;
            header[3] = 1;
            if (descriptors.Length > 0)
            {
                header[4] = (nint)control;
                header[5] = (nint)control[0];
            }

            nint sent;
            do
            {
                sent = sendmsg(socket, header, MSG_DONTWAIT | MSG_NOSIGNAL);
            }
            while (sent < 0 && Marshal.GetLastPInvokeError() == (int)Errno.EINTR);

            return sent < 0 && Marshal.GetLastPInvokeError() == (int)Errno.EAGAIN ? 0 : Check((int)sent);
        }
    }

    private static int Check(int result)
    {
        Assert.True(result >= 0, $"a system call of the test failed: {(Errno)Marshal.GetLastPInvokeError()}");
        return result;
    }

    [LibraryImport("libc", SetLastError = true)]
    private static partial int setsockopt(int fd, int level, int name, void* value, uint length);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int pipe2(int* ends, int flags);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int eventfd(uint initial, int flags);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int fcntl(int fd, int cmd, nint arg);

    [LibraryImport("libc", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int open(string path, int flags);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int ftruncate(int fd, long length);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int gettid();

    [LibraryImport("libc", SetLastError = true)]
    private static partial int tgkill(int process, int thread, int signal);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int sigaction(int signal, void* action, void* old);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int poll(void* fds, nuint count, int timeoutMilliseconds);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int getrlimit(int resource, ulong* limit);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int setrlimit(int resource, ulong* limit);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int socket(int domain, int type, int protocol);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int connect(int fd, byte* address, uint length);

    [LibraryImport("libc", SetLastError = true)]
    private static partial nint sendmsg(int fd, void* message, int flags);
}
