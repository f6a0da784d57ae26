using Penstock.S390;
using Penstock.Vfio;

namespace Penstock.Hypervisor.Tests.S390;

/// <summary>As <see cref="S390Rig"/>, with one function that the machine's VMM has open.</summary>
internal sealed class OpenFunctionRig : S390Rig
{
    public OpenFunctionRig(TimeProvider? time = null)
        : base(time: time)
    {
        Device = AddFunction();
        File = Open(Device);
    }

    public ZpciVfioPciDevice Device { get; }

    public ZpciFunction Function => Device.Zpci!;

    public VfioDeviceFile File { get; private set; }

    /// <summary>The VMM closes the function and opens it again.</summary>
    public void Reopen()
    {
        File.Dispose();
        File = Open(Device);
    }

    public override void Dispose()
    {
        RefuseNothing();
        File.Dispose();
        base.Dispose();
    }
}
