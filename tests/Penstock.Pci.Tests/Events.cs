using Penstock.Interop;

namespace Penstock.Pci.Tests;

/// <summary>Eventfds of a user, and what they counted.</summary>
internal static class Events
{
    public static EventDescriptor[] Make(int count) => [.. Enumerable.Range(0, count).Select(static _ => EventDescriptor.Create())];

    public static ulong Count(this EventDescriptor descriptor) => descriptor.TryDrain(out ulong count) ? count : 0;

    public static ulong[] Counts(this EventDescriptor[] descriptors) => [.. descriptors.Select(static d => d.Count())];
}
