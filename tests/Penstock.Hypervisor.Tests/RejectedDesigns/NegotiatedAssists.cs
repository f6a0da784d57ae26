using System.Runtime.InteropServices;
using Penstock.Interop;
using Penstock.Pci;
using Penstock.S390;
using Penstock.Specs.Kvm;
using Penstock.Specs.Vfio;
using Penstock.Specs.Zpci;
using Penstock.Vfio;

namespace Penstock.Hypervisor.Tests.RejectedDesigns;

/// <summary>
/// A zPCI device whose user negotiates each assist with DEVICE_FEATURE, as was proposed first: interpretation, forwarding of interrupts, I/O
/// tables. The numbers are of a range that nobody else uses.
/// </summary>
internal sealed class NegotiatedAssists(string name, IPciFunction hardware, IommuGroup group, ZpciFunction zpci) : ZpciVfioPciDevice(name, hardware, group, zpci)
{
    public const VfioFeature Interpretation = (VfioFeature)0xff01;
    public const VfioFeature Interrupts = (VfioFeature)0xff02;
    public const VfioFeature Tables = (VfioFeature)0xff03;

    private const VfioFeatureFlags Both = VfioFeatureFlags.Get | VfioFeatureFlags.Set;

    private KvmS390ZpciOp _interrupts;

    protected override void Feature(in VfioFeatureRequest request)
    {
        if (request.Feature is < Interpretation or > Tables)
        {
            base.Feature(request);
            return;
        }

        // The device file alone cannot do any of it, so without a machine there is nothing.
        if (Hypervisor is not SimulatedVm vm || vm.Zpci.All.FirstOrDefault(t => t.Device == this) is not { IsInterpreted: true })
        {
            throw (request.Flags & VfioFeatureFlags.Probe) != 0
                ? NoFeature(request)
                : new VfioException(Errno.EINVAL, request.What, "the function is registered with no machine");
        }

        switch (request.Feature)
        {
            case Interpretation when request.Proceed(Both, Marshal.SizeOf<ZpciInterpretation>()):
                Interpret(request);
                break;
            case Interrupts when request.Proceed(Both, KvmS390ZpciOp.Length):
                Forward(request, vm);
                break;
            case Tables when request.Proceed(Both, sizeof(ulong)):
                Translate(request);
                break;
        }
    }

    private void Interpret(in VfioFeatureRequest request)
    {
        if (request.IsSet)
        {
            uint designation = request.Take<ZpciInterpretation>().IsOn != 0 ? ((SimulatedVm)Hypervisor!).Gisa!.Designation : 0;
            Zpci!.Disable();
            Zpci.Reenable(designation);
        }

        request.Put(new ZpciInterpretation { IsOn = Zpci!.Designation != 0 ? 1u : 0, Handle = Zpci.Handle });
    }

    private void Forward(in VfioFeatureRequest request, SimulatedVm vm)
    {
        if (request.IsSet)
        {
            KvmS390ZpciOp asked = request.Take<KvmS390ZpciOp>();
            asked.FunctionHandle = Zpci!.Handle;
            vm.Zpci.Operate(asked);
            _interrupts = asked.Operation == KvmS390ZpciOperation.RegisterAen ? asked : default;
        }

        request.Put(_interrupts);
    }

    private void Translate(in VfioFeatureRequest request)
    {
        if (request.IsSet)
        {
            Zpci!.DeregisterIoat();
            if (Zpci.RegisterIoat(Zpci.Base.StartDma, Zpci.Base.EndDma, request.Take<ulong>()).ConditionCode != ZpciConditionCode.Done)
            {
                throw new VfioException(Errno.EIO, request.What, "firmware refused");
            }
        }

        request.Put(Zpci!.Iota ?? 0);
    }
}
