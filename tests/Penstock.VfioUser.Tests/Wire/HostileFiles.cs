using Microsoft.Win32.SafeHandles;
using Penstock.Interop;

namespace Penstock.VfioUser.Tests;

/// <summary>Descriptors of every kind that somebody might send: memory that is sealed, short, huge or read-only, and things that are no memory at all.</summary>
internal sealed class HostileFiles : IDisposable
{
    private readonly List<IDisposable> _owned = [];
    private readonly List<int> _numbers = [];

    public HostileFiles()
    {
        Add(Handles.Memory(0x10_0000));
        Add(MemoryFile.Create("sealed", 0x10_0000, MemorySeals.Shrink));
        Add(Handles.Memory(1));
        Add(Handles.Memory(0));
        Add(Sparse());
        EventDescriptor e = EventDescriptor.Create();
        _owned.Add(e);
        _numbers.Add(e.Number());
        (SafeFileHandle read, SafeFileHandle write) = Handles.Pipe();
        Add(read);
        Add(write);
        Add(File.OpenHandle("/dev/null", FileMode.Open, FileAccess.ReadWrite));
        Add(File.OpenHandle(typeof(HostileFiles).Assembly.Location));
    }

    public int Any(Random random) => _numbers[random.Next(_numbers.Count)];

    public static MemoryFile Sparse() => MemoryFile.Create("sparse", 1ul << 62);

    public void Dispose() => _owned.DisposeAll();

    private void Add(MemoryFile file)
    {
        _owned.Add(file);
        _numbers.Add(file.Number());
    }

    private void Add(SafeFileHandle handle)
    {
        _owned.Add(handle);
        _numbers.Add(handle.Number());
    }
}
