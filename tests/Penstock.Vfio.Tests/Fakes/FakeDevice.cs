using Penstock.Interop;
using Penstock.Specs.Vfio;

namespace Penstock.Vfio.Tests;

/// <summary>A device with one region of 256 bytes and four vectors, which counts what is done to it.</summary>
internal sealed class FakeDevice(string name, Strand? strand = null) : VfioDevice(name)
{
    private readonly byte[] _registers = new byte[256];

    public int Opens { get; private set; }

    public int Closes { get; private set; }

    public List<uint> Requests { get; } = [];

    public List<VfioIrqSetFlags> IrqCalls { get; } = [];

    public Errno OpenError { get; set; }

    public Exception? AccessFailure { get; set; }

    public Action? OnOpen { get; set; }

    public Action? OnClose { get; set; }

    public Action<uint>? OnRequest { get; set; }

    public Action? OnWrite { get; set; }

    public bool HasPasids { get; set; }

    protected internal override bool TakesPasids => HasPasids;

    protected internal override Strand? Strand => strand;

    protected internal override void Open()
    {
        if (OpenError != Errno.None)
        {
            throw new VfioException(OpenError, "opening the fake", "the test wants it");
        }

        OnOpen?.Invoke();
        Opens++;
    }

    protected internal override void Close()
    {
        OnClose?.Invoke();
        Closes++;
    }

    protected internal override VfioDeviceInfo GetInfo() => new(VfioDeviceFlags.Reset, 1, 2);

    protected internal override VfioRegionInfo GetRegionInfo(uint index) => index == 0
        ? new VfioRegionInfo(0, VfioRegionFlags.Read | VfioRegionFlags.Write, 256)
        : throw new VfioException(Errno.EINVAL, "region info", "no such region");

    protected internal override VfioIrqInfo GetIrqInfo(uint index) => new((int)index, VfioIrqFlags.Eventfd, index == 0 ? 4u : 0u);

    protected internal override void SetIrqs(in VfioIrqRequest request) => IrqCalls.Add(request.Flags);

    protected internal override Errno Read(uint region, ulong offset, Span<byte> data, out int transferred)
    {
        using StrandScope scope = strand is null ? default : strand.EnterRegisterCall();
        transferred = 0;
        if (AccessFailure is { } failure)
        {
            throw failure;
        }

        _registers.AsSpan((int)offset, data.Length).CopyTo(data);
        transferred = data.Length;
        return Errno.None;
    }

    protected internal override Errno Write(uint region, ulong offset, ReadOnlySpan<byte> data, out int transferred)
    {
        using StrandScope scope = strand is null ? default : strand.EnterRegisterCall();
        transferred = 0;
        if (AccessFailure is { } failure)
        {
            throw failure;
        }

        data.CopyTo(_registers.AsSpan((int)offset));
        transferred = data.Length;
        OnWrite?.Invoke();
        return Errno.None;
    }

    protected internal override void Request(uint round)
    {
        Requests.Add(round);
        OnRequest?.Invoke(round);
    }
}
