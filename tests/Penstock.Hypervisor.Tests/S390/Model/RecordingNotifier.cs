using Penstock.Interop;

namespace Penstock.Hypervisor.Tests.S390.Model;

/// <summary>Writes down what the fallback sends, and keeps what a device would have mapped.</summary>
internal sealed class RecordingNotifier : IDmaNotifier
{
    private readonly SortedDictionary<ulong, (ulong Address, bool CanWrite)> _mapped = [];

    /// <summary>Messages as recordings have them.</summary>
    public List<string> Messages { get; } = [];

    /// <summary>What maps answer, by guest address; null for success.</summary>
    public Func<ulong, Errno>? Answer { get; set; }

    /// <summary>Pages that are mapped, by I/O address.</summary>
    public List<(ulong Iova, ulong Address, bool CanWrite)> Mapped => [.. _mapped.Select(static p => (p.Key, p.Value.Address, p.Value.CanWrite))];

    public Errno Map(ulong iova, ulong address, ulong length, bool writable)
    {
        Messages.Add($"M {iova:x} {length:x} {address:x} {(writable ? "rw" : "r")}");
        Errno errno = Answer?.Invoke(address) ?? Errno.None;
        if (errno == Errno.None)
        {
            Assert.Equal(0x1000ul, length);
            Assert.True(_mapped.TryAdd(iova, (address, writable)), $"0x{iova:x} is mapped already");
        }

        return errno;
    }

    public void Unmap(ulong iova, ulong length)
    {
        Messages.Add($"U {iova:x} {length:x}");
        if (length == 0x1000)
        {
            _mapped.Remove(iova);
            return;
        }

        foreach (ulong gone in _mapped.Keys.Where(k => k - iova < length).ToList())
        {
            _mapped.Remove(gone);
        }
    }

    /// <summary>The messages since the last call.</summary>
    public string[] Take()
    {
        string[] messages = [.. Messages];
        Messages.Clear();
        return messages;
    }
}
