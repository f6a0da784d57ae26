using Penstock.Interop;

namespace Penstock.Pci.Tests;

/// <summary>Hardware that remembers what it was asked, with 64 KiB of plain memory behind each BAR.</summary>
internal sealed class FakeFunction : IPciFunction
{
    private readonly byte[][] _memory = [.. Enumerable.Range(0, 6).Select(static _ => new byte[0x1_0000])];

    public required PciFunctionDescription Description { get; init; }

    public PciFunctionPort Port { get; private set; } = null!;

    public List<PciResetKind> Resets { get; } = [];

    public List<int> Widths { get; } = [];

    public Action? OnReset { get; set; }

    public bool KeepsWidths { get; set; }

    public bool Fails { get; set; }

    public void Attach(PciFunctionPort port) => Port = port;

    public Span<byte> Memory(int bar) => _memory[bar];

    public Errno ReadBar(int bar, ulong offset, Span<byte> data)
    {
        Look(data.Length);
        _memory[bar].AsSpan((int)offset, data.Length).CopyTo(data);
        return Errno.None;
    }

    public Errno WriteBar(int bar, ulong offset, ReadOnlySpan<byte> data)
    {
        Look(data.Length);
        data.CopyTo(_memory[bar].AsSpan((int)offset));
        return Errno.None;
    }

    public void Reset(PciResetKind kind)
    {
        if (Fails)
        {
            throw new InvalidOperationException("the model has a bug");
        }

        Resets.Add(kind);
        OnReset?.Invoke();
    }

    private void Look(int width)
    {
        if (Fails)
        {
            throw new InvalidOperationException("the model has a bug");
        }

        if (KeepsWidths)
        {
            Widths.Add(width);
        }
    }
}
