using System.Runtime.CompilerServices;

namespace Penstock.Vfio;

/// <summary>
/// The managed id of the calling thread, where one load finds it: asking the runtime takes as long as a translation. A thread's id never changes.
/// </summary>
internal static class CallingThread
{
    [ThreadStatic]
    private static int _id;

    internal static int Id
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get
        {
            int id = _id;
            return id != 0 ? id : Ask();
        }
    }

    /// <summary>The same, or 0 when it has not been asked for on this thread yet.</summary>
    internal static int KnownId
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => _id;
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static int Ask() => _id = Environment.CurrentManagedThreadId;
}
