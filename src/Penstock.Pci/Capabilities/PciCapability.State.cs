namespace Penstock.Pci;

/// <content>A capability as part of a device's state.</content>
public abstract partial class PciCapability
{
    internal int StateLength => _bytes.Length + ExtraStateLength;

    /// <summary>What a class keeps beside the bytes.</summary>
    private protected virtual int ExtraStateLength => 0;

    internal void SaveState(Span<byte> state)
    {
        _bytes.CopyTo(state);
        SaveExtraState(state[_bytes.Length..]);
    }

    /// <summary>Takes the bits that software can change; the others are facts of the function or of the host's own set-up.</summary>
    internal void LoadState(ReadOnlySpan<byte> state)
    {
        for (int i = HeaderLength; i < _bytes.Length; i++)
        {
            int changeable = _writable[i] | _clearable[i];
            _bytes[i] = (byte)((_bytes[i] & ~changeable) | (state[i] & changeable));
        }

        LoadExtraState(state[_bytes.Length..]);
    }

    /// <summary>Whether the bytes are those of a capability with the same id.</summary>
    internal bool Matches(ReadOnlySpan<byte> state) => state[..HeaderLength].SequenceEqual(_bytes.AsSpan(0, HeaderLength));

    private protected virtual void SaveExtraState(Span<byte> state)
    {
    }

    private protected virtual void LoadExtraState(ReadOnlySpan<byte> state)
    {
    }
}
