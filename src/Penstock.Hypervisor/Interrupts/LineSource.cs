namespace Penstock.Hypervisor;

/// <summary>Who may hold a line of the interrupt controller; it is high while anybody does.</summary>
[Flags]
internal enum LineSource
{
    None = 0,
    User = 1,
    Irqfd = 2,
    Resample = 4,
}
