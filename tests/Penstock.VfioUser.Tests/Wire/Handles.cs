using System.Diagnostics;
using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;
using Penstock.Interop;

namespace Penstock.VfioUser.Tests;

/// <summary>Descriptors to pass.</summary>
internal static class Handles
{
    /// <summary>A pipe whose write end is for passing: once nobody holds it any more, the read end is at its end.</summary>
    public static (SafeFileHandle Read, SafeFileHandle Write) Pipe()
    {
        Span<int> ends = stackalloc int[2];
        Assert.Equal(0, pipe2(ref MemoryMarshal.GetReference(ends), CloseOnExec));
        return (new SafeFileHandle(ends[0], true), new SafeFileHandle(ends[1], true));
    }

    /// <summary>Waits until every write end of a pipe is closed.</summary>
    public static void AssertAllClosed(SafeFileHandle read)
    {
        PollEvents happened = Poll.Wait((int)read.DangerousGetHandle(), PollEvents.In, TimeSpan.FromMinutes(1));
        Assert.NotEqual(PollEvents.None, happened & PollEvents.HangUp);
    }

    public static int Number(this SafeFileHandle handle) => (int)handle.DangerousGetHandle();

    public static int Number(this EventDescriptor e) => e.Descriptor.Value;

    public static int Number(this MemoryFile file) => file.Descriptor.Value;

    public static ulong Drain(this EventDescriptor e) => e.TryDrain(out ulong count) ? count : 0;

    public static EventDescriptor[] Events(int count) => [.. Enumerable.Range(0, count).Select(static _ => EventDescriptor.Create())];

    public static int[] Numbers(this IEnumerable<EventDescriptor> events) => [.. events.Select(static e => e.Number())];

    public static void DisposeAll(this IEnumerable<IDisposable> things)
    {
        foreach (IDisposable thing in things)
        {
            thing.Dispose();
        }
    }

    /// <summary>Waits for a count that another thread brings about.</summary>
    public static void Await(Func<bool> condition, string what)
    {
        long start = Stopwatch.GetTimestamp();
        while (!condition())
        {
            Assert.True(Stopwatch.GetElapsedTime(start) < TimeSpan.FromMinutes(1), $"never happened: {what}");
            Thread.Sleep(1);
        }
    }

    public static MemoryFile Memory(ulong size, byte fill = 0)
    {
        MemoryFile file = MemoryFile.Create("wire", size);
        if (fill != 0)
        {
            byte[] bytes = new byte[size];
            Array.Fill(bytes, fill);
            Assert.Equal(Errno.None, DescriptorIO.WriteAt(file.Number(), 0, bytes, out int done));
            Assert.Equal(bytes.Length, done);
        }

        return file;
    }

    public static byte[] Content(this MemoryFile file, ulong offset, int length)
    {
        byte[] bytes = new byte[length];
        Assert.Equal(Errno.None, DescriptorIO.ReadAt(file.Number(), offset, bytes, out int done));
        Assert.Equal(length, done);
        return bytes;
    }

    /// <summary>Opens anything for reading, directories too.</summary>
    public static int Open(string path)
    {
        int fd = open(path, CloseOnExec);
        Assert.True(fd >= 0);
        return fd;
    }

    private const int CloseOnExec = 0x80000;

    [DllImport("libc", SetLastError = true)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static extern int open([MarshalAs(UnmanagedType.LPUTF8Str)] string path, int flags);

    // The one call of these tests that the library under test has no use for.
    [DllImport("libc", SetLastError = true)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static extern int pipe2(ref int ends, int flags);
}
