using Penstock.Interop;
using Penstock.Specs.Vfio;

namespace Penstock.Vfio.Tests;

/// <summary>A device of two regions and one interrupt whose answers a test can replace one by one.</summary>
internal sealed class ScriptedDevice(string name = "scripted") : VfioDevice(name)
{
    public VfioRegionInfo Region { get; set; } = new(0, VfioRegionFlags.Read | VfioRegionFlags.Write, 0x4000);

    public Action OnResume { get; set; } = static () => { };

    public int Awake { get; private set; }

    public List<int> AwakeDuringCalls { get; } = [];

    public List<EventDescriptor?> Events { get; } = [];

    public List<Errno> EventErrors { get; } = [];

    public byte[] Bools { get; private set; } = [];

    protected internal override void Resume()
    {
        OnResume();
        Awake++;
    }

    protected internal override void Suspend() => Awake--;

    protected internal override VfioDeviceInfo GetInfo()
    {
        AwakeDuringCalls.Add(Awake);
        return new(VfioDeviceFlags.Reset, 2, 1);
    }

    protected internal override VfioRegionInfo GetRegionInfo(uint index) => index switch
    {
        0 => Region,
        1 => new VfioRegionInfo(1, VfioRegionFlags.Read, 16),
        _ => throw new VfioException(Errno.EINVAL, "region info", "no such region"),
    };

    protected internal override VfioIrqInfo GetIrqInfo(uint index) => index == 0
        ? new VfioIrqInfo(0, VfioIrqFlags.Eventfd, 4)
        : throw new VfioException(Errno.EINVAL, "irq info", "no such interrupt");

    protected internal override void SetIrqs(in VfioIrqRequest request)
    {
        AwakeDuringCalls.Add(Awake);
        Bools = request.Bools.ToArray();
        for (int i = 0; i < request.Count && (request.Flags & VfioIrqSetFlags.DataEventfd) != 0; i++)
        {
            try
            {
                Events.Add(request.TakeEvent(i, null));
                EventErrors.Add(Errno.None);
            }
            catch (VfioException e)
            {
                EventErrors.Add(e.Errno);
            }
        }
    }

    protected internal override void Reset() => AwakeDuringCalls.Add(Awake);

    protected internal override int Ioctl(uint request, Span<byte> argument)
    {
        AwakeDuringCalls.Add(Awake);
        return base.Ioctl(request, argument);
    }

    protected internal override Errno Read(uint region, ulong offset, Span<byte> data, out int transferred)
    {
        transferred = data.Length;
        return Errno.None;
    }

    protected internal override Errno Write(uint region, ulong offset, ReadOnlySpan<byte> data, out int transferred)
    {
        transferred = data.Length;
        return Errno.None;
    }
}
