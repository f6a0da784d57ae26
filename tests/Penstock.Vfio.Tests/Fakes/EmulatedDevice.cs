namespace Penstock.Vfio.Tests;

/// <summary>A device that notes what is unmapped.</summary>
internal sealed class EmulatedDevice(string name) : BareDevice(name)
{
    public List<(ulong Iova, ulong Length)> Unmaps { get; } = [];

    public Action<ulong, ulong>? OnUnmap { get; set; }

    public Action? OnOpen { get; set; }

    public int Opens { get; private set; }

    public int Closes { get; private set; }

    public Action<uint>? OnRequest { get; set; }

    protected internal override void Open()
    {
        OnOpen?.Invoke();
        Opens++;
    }

    protected internal override void Close() => Closes++;

    protected internal override void Request(uint round) => OnRequest?.Invoke(round);

    protected internal override void DmaUnmap(ulong iova, ulong length)
    {
        Unmaps.Add((iova, length));
        OnUnmap?.Invoke(iova, length);
    }
}
