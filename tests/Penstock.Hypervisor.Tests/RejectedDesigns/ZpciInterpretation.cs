using System.Runtime.InteropServices;

namespace Penstock.Hypervisor.Tests.RejectedDesigns;

/// <summary>What <see cref="NegotiatedAssists.Interpretation"/> carries.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct ZpciInterpretation
{
    public uint IsOn;
    public uint Handle;
}
